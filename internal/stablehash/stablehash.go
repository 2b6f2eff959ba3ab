// Package stablehash hashes texts without a seed: the same in every process, version and architecture,
// so that several balancers agree where a key belongs.
package stablehash

// Hash is a hash under way: FNV-1a of 64 bits, finished by Sum. The zero value must not be used; see New.
type Hash uint64

// New returns the hash of nothing yet.
func New() Hash { return 0xcbf29ce484222325 }

// Add takes more text in.
func (h Hash) Add(text []byte) Hash {
	for _, c := range text {
		h = (h ^ Hash(c)) * 0x100000001b3
	}
	return h
}

// AddString is Add for a string.
func (h Hash) AddString(text string) Hash {
	for i := range len(text) {
		h = (h ^ Hash(text[i])) * 0x100000001b3
	}
	return h
}

// Sum returns the hash. The upper bits of FNV-1a hardly move for short texts, so that they are mixed as at
// the end of SplitMix64.
func (h Hash) Sum() uint64 { return Mix(uint64(h)) }

// Mix spreads a number over all 64 bits, each number to another one.
func Mix(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
