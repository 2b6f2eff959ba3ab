// Package spelling guesses what a misspelt name was meant to be.
package spelling

import "github.com/agext/levenshtein"

// longest is the length of a name that is compared: the distance takes time with the square of it.
const longest = 64

// Nearest returns the known name that takes the fewest changes of a letter, the first of several, or "" if all take more
// than most.
func Nearest(name string, known []string, most int) string {
	if len(name) > longest {
		return ""
	}
	best, least := "", most+1
	for _, k := range known {
		if d := levenshtein.Distance(name, k, nil); d < least {
			best, least = k, d
		}
	}
	return best
}

// Tolerance returns how many letters of a word of a small vocabulary may differ: up to two, or a third of a long one,
// but never all.
func Tolerance(word string) int { return max(min(2, len(word)-1), min(3, len(word)/3)) }
