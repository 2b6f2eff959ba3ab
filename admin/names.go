package admin

import (
	"fmt"
	"strings"

	"lb/internal/spelling"
)

// shownNames is how many names an error lists at most.
const shownNames = 10

// instead completes the message about an unknown name: with the one that was probably meant, and those that exist.
func instead(name string, known []string) string {
	if len(known) == 0 {
		return ": there is none"
	}
	text := ""
	if guess := nearest(name, known); guess != "" {
		text = fmt.Sprintf("; did you mean %q?", guess)
	} else {
		text = "."
	}
	list := strings.Join(known[:min(len(known), shownNames)], ", ")
	if more := len(known) - shownNames; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return text + " There are: " + list
}

// nearest returns the name that was probably meant, or "": one that differs in up to a third of its letters, or, for
// an address, the only one with that port.
func nearest(name string, known []string) string {
	best := spelling.Nearest(name, known, min(2, max(1, len(name)/3)))
	if best != "" {
		return best
	}
	tail := ":" + name[strings.LastIndexByte(name, ':')+1:]
	for _, k := range known {
		if strings.HasSuffix(k, tail) {
			if best != "" {
				return ""
			}
			best = k
		}
	}
	return best
}
