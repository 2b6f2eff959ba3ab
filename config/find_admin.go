package config

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
)

// AdminListener is the admin listener of a configuration, for a program that connects to a running lb.
type AdminListener struct {
	Admin // defaults where an attribute is missing or cannot be read

	ListenPos, TokenPos Pos // of the attributes; zero if they are not written

	// Problems that prevented reading an attribute; nil if there are none.
	ListenProblem, TokenProblem *Diagnostic
}

// FindAdmin reads only the admin block of a configuration, even if the rest is broken, which is when people need the
// status of the running lb. The error says that the block is missing, or perhaps in a part that cannot be read.
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

// read reads the admin block of a source. It returns false if there is none.
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
	a.ListenPos, a.ListenProblem = b.problemOf("listen", func() { b.adminListen(&a.Admin) })
	a.TokenPos, a.TokenProblem = b.problemOf("token", func() { b.adminToken(&a.Admin) })
	return true
}

func readAlone(s Source) (r *reader, root *block, whole bool) {
	r = newReader([]Source{s})
	r.withoutFiles = true
	root, whole = r.root([]Source{s})
	return r, root, whole
}

// problemOf reads an attribute, and returns where it is written and the first problem with it.
func (b *block) problemOf(name string, read func()) (at Pos, problem *Diagnostic) {
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

// adminBlock returns a source with only its admin block, on the same lines. The text around it may be broken in any
// way.
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

// blockEnd returns the end of the block that the pieces begin with, or otherwise if it is not closed.
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

// blank blanks everything but line feeds.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' {
			text[i] = ' '
		}
	}
}
