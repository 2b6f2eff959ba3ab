package config

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
)

// AdminListener is where a configuration has its admin listener, for a program that wants to talk to a running lb.
type AdminListener struct {
	Admin // the defaults for what is not written or cannot be told

	ListenPos, TokenPos Pos // of the attributes; zero where they are not written

	// What keeps an attribute from being told; nil if nothing does.
	ListenProblem, TokenProblem *Diagnostic
}

// FindAdmin reads nothing of a configuration but its admin block, which it also finds where the rest is broken: that is
// when people ask what the running lb does. The error says that the block is not there and may be in what cannot be read.
func FindAdmin(path string) (AdminListener, error) {
	found := AdminListener{Admin: defaultConfig().Admin}
	names, err := sourceNames(path)
	if err != nil {
		return found, fmt.Errorf("cannot read %s: %w", path, bare(err))
	}
	var unread error
	for _, name := range names {
		text, err := readRegular(name)
		if err != nil {
			unread = fmt.Errorf("cannot read %s: %w", name, bare(err))
		} else if found.read(Source{Name: name, Text: text}) {
			return found, nil
		}
	}
	return found, unread
}

// read takes the admin block of a source. It is false if there is none.
func (a *AdminListener) read(s Source) bool {
	_, root, whole := readAlone(s)
	if !whole {
		part, ok := adminBlock(s)
		if !ok {
			return false
		}
		var r *reader
		if r, root, whole = readAlone(part); !whole {
			a.Pos = r.pos(hcl.Range{Filename: s.Name})
			a.ListenProblem = &r.diagnostics()[0]
			a.TokenProblem = a.ListenProblem
			return true
		}
	}
	b := root.one("admin")
	if b == nil {
		return false
	}
	a.Pos = b.pos(b.at)
	a.ListenPos, a.ListenProblem = b.told("listen", func() { b.adminListen(&a.Admin) })
	a.TokenPos, a.TokenProblem = b.told("token", func() { b.adminToken(&a.Admin) })
	return true
}

func readAlone(s Source) (r *reader, root *block, whole bool) {
	r = newReader([]Source{s})
	r.withoutFiles = true
	root, whole = r.root([]Source{s})
	return r, root, whole
}

// told reads an attribute, and returns where it is written and the first problem with it.
func (b *block) told(name string, read func()) (at Pos, problem *Diagnostic) {
	before := len(b.found)
	read()
	if a := b.attributes[name]; a != nil {
		at = b.pos(a.NameRange)
	}
	if len(b.found) > before {
		problem = &b.found[before]
	}
	return at, problem
}

// adminBlock returns a source with nothing left but its admin block, on the lines where it is. What stands before and
// behind may be broken in any way.
func adminBlock(s Source) (part Source, ok bool) {
	scan := lineScanner{src: string(s.Text)}
	var pieces []piece
	var heads []int // the first piece of each line
	for {
		line, more := scan.line()
		if !more {
			break
		}
		if len(line) > 0 {
			heads = append(heads, len(pieces))
		}
		pieces = append(pieces, line...)
	}
	for _, i := range heads {
		if pieces[i].kind == plainWord && pieces[i].text == "admin" && i+1 < len(pieces) && pieces[i+1].is("{") {
			text := bytes.Clone(s.Text)
			end := blockEnd(pieces[i+1:], len(text))
			blank(text[:pieces[i].start])
			blank(text[end:])
			return Source{Name: s.Name, Text: text}, true
		}
	}
	return part, false
}

// blockEnd returns where the block ends that the pieces begin with, or otherwise if it is not closed.
func blockEnd(pieces []piece, otherwise int) int {
	depth := 0
	for _, p := range pieces {
		switch {
		case p.is("{"):
			depth++
		case p.is("}"):
			if depth--; depth == 0 {
				return p.end
			}
		}
	}
	return otherwise
}

// blank leaves nothing of a text but its lines.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' {
			text[i] = ' '
		}
	}
}
