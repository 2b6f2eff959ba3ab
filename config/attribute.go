package config

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// textCheck says what is wrong with a text and what to write instead; two
// empty strings if nothing is.
type textCheck func(s string) (problem, remedy string)

// value evaluates an attribute. It returns false if the attribute is not written, is null, which means the same, or
// is invalid, which it reports.
func (b *block) value(name string) (v cty.Value, at hcl.Range, ok bool) {
	b.knownAttributes = append(b.knownAttributes, name)
	a := b.attributes[name]
	if a == nil {
		return cty.NilVal, b.at, false
	}
	b.reading = name
	v, ok = b.evaluate(a.Expr)
	at = a.Expr.Range()
	if !ok || v.IsNull() {
		return cty.NilVal, at, false
	}
	return v, at, b.available(b.path+"."+name, plain(v), at)
}

// plain returns a primitive value as text, "" for others.
func plain(v cty.Value) string {
	if s, err := convert.Convert(v, cty.String); err == nil {
		return s.AsString()
	}
	return ""
}

func (b *block) evaluate(e hclsyntax.Expression) (cty.Value, bool) {
	v, diags := e.Value(b.contexts[e.Range().Filename])
	for _, d := range diags {
		b.adopt(d)
	}
	if diags.HasErrors() || !v.IsWhollyKnown() {
		return cty.NilVal, false
	}
	return v, true
}

// written reports whether the block has the attribute.
func (b *block) written(name string) bool { return b.attributes[name] != nil }

// place returns where an attribute is written, or the head of the block if it is not.
func (b *block) place(name string) hcl.Range {
	if a := b.attributes[name]; a != nil {
		return a.Expr.Range()
	}
	return b.at
}

// wrongType reports a value of another type. The remedy may quote the value only if it is not withheld.
func (b *block) wrongType(at hcl.Range, name string, got cty.Value, remedy string) {
	b.add(Error, at, fmt.Sprintf("%s cannot be %s", name, sort(got)), remedy)
}

// sort names the type of a value.
func sort(v cty.Value) string {
	t := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		return "a list"
	}
	return "a map"
}

// text reads a text in quotes.
func (b *block) text(name string, to *string, checks ...textCheck) {
	v, at, ok := b.value(name)
	if !ok {
		return
	}
	if v.Type() != cty.String {
		b.wrongType(at, name, v, fmt.Sprintf("Write a string in quotes: %s = %q", name, b.asString(v, at)))
		return
	}
	if s := v.AsString(); b.passes(name, s, at, checks) {
		*to = s
	}
}

// asString returns the string that was probably meant by another value: 200-399 as it is written, which the language
// takes for a number, and of a list its entries.
func (b *block) asString(v cty.Value, at hcl.Range) string {
	if plain(v) != "" {
		return b.reader.text(at)
	}
	if v.Type().IsTupleType() && v.LengthInt() > 0 && !b.withheld(at) {
		var entries []string
		for _, e := range v.AsValueSlice() {
			if plain(e) == "" {
				return "…"
			}
			entries = append(entries, plain(e))
		}
		return strings.Join(entries, ",")
	}
	return "…"
}

func (b *block) passes(name, s string, at hcl.Range, checks []textCheck) bool {
	for _, check := range checks {
		problem, remedy := check(s)
		if problem == "" {
			continue
		}
		if b.learn == nil && b.withheld(at) {
			problem, remedy = withoutValues(problem), withoutPartsOf(s, remedy)
		}
		b.add(Error, at, name+" "+problem, remedy)
		return false
	}
	return true
}

// require reports an attribute that is missing or empty.
func (b *block) require(name, value, example string) {
	if value == "" && (!b.written(name) || b.attributeIsEmptyText(name)) {
		b.fail(b.place(name), fmt.Sprintf("%s needs %s", b.kind(), name), fmt.Sprintf("Write: %s = %q", name, example))
	}
}

func (b *block) attributeIsEmptyText(name string) bool {
	v, diags := b.attributes[name].Expr.Value(b.contexts[b.at.Filename])
	return !diags.HasErrors() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String && v.AsString() == ""
}

// secret reads a text, without the line feed at the end of a file.
func (b *block) secret(name string, to *Secret, checks ...textCheck) {
	if b.learn != nil {
		b.learn.secrets[name] = true
	}
	s := string(*to)
	for i, check := range checks {
		checks[i] = func(s string) (string, string) { return check(strings.TrimRight(s, "\r\n")) }
	}
	b.text(name, &s, checks...)
	*to = Secret(strings.TrimRight(s, "\r\n"))
}

// file reads the name of a file, relative to the configuration's directory.
func (b *block) file(name string, to *string) {
	if b.learn != nil {
		b.learn.files[name] = true
	}
	b.text(name, to, noNUL, noContent)
	if b.written(name) {
		*to = under(filepath.Dir(b.at.Filename), *to)
	}
}

func noNUL(s string) (problem, remedy string) {
	if strings.ContainsRune(s, 0) {
		return "contains a NUL character", "Remove it."
	}
	return "", ""
}

// noContent rejects content that was written in place of a file name.
func noContent(s string) (problem, remedy string) {
	if strings.ContainsAny(s, "\r\n") || strings.Contains(s, "-----BEGIN") {
		return "is the content of a file rather than its path", "Put the content into a file, and write its path here."
	}
	return "", ""
}

// flag reads true or false.
func (b *block) flag(name string, to *bool) {
	if b.learn != nil {
		b.learn.flags[name] = true
	}
	v, at, ok := b.value(name)
	if !ok {
		return
	}
	c, err := convert.Convert(v, cty.Bool) // or a string, as env("…") returns
	if err != nil {
		b.wrongType(at, name, v, fmt.Sprintf("Write %s = true or %s = false, without quotes.", name, name))
		return
	}
	*to = c.True()
}

// number reads an integer from lo to hi.
func (b *block) number(name string, to *int, lo, hi int) {
	v, at, ok := b.value(name)
	if !ok {
		return
	}
	if n, ok := b.integer(name, v, at); ok {
		if n < int64(lo) || n > int64(hi) {
			b.fail(at, fmt.Sprintf("%s = %d is out of range", name, n), numberRange(lo, hi))
			return
		}
		*to = int(n)
	}
}

func numberRange(lo, hi int) string {
	if hi == math.MaxInt32 {
		return fmt.Sprintf("Write a whole number of %d or more.", lo)
	}
	return fmt.Sprintf("Write a whole number from %d to %d.", lo, hi)
}

// unlimited is the upper bound of numbers that have none of their own.
const unlimited = math.MaxInt32

func (b *block) integer(name string, v cty.Value, at hcl.Range) (int64, bool) {
	c, err := convert.Convert(v, cty.Number) // or a string, as env("…") returns
	if err != nil {
		b.wrongType(at, name, v, "Write a whole number, without quotes.")
		return 0, false
	}
	n, accuracy := c.AsBigFloat().Int64()
	if accuracy != big.Exact {
		b.fail(at, fmt.Sprintf("%s must be a whole number", name), fmt.Sprintf("Write it without a fraction: %s = %d", name, n))
		return 0, false
	}
	return n, true
}

// share reads a number from 0 to 1.
func (b *block) share(name string, to *float64) {
	v, at, ok := b.value(name)
	if !ok {
		return
	}
	c, err := convert.Convert(v, cty.Number)
	if err != nil {
		b.wrongType(at, name, v, fmt.Sprintf("Write a number from 0 to 1 without quotes: %s = 0.5", name))
		return
	}
	f, _ := c.AsBigFloat().Float64()
	if !(f >= 0 && f <= 1) {
		b.fail(at, fmt.Sprintf("%s = %g is out of range", name, f), "Write a number from 0 to 1: 0.5 is one half.")
		return
	}
	*to = f
}

// duration reads "1500ms", "2s", "5m" and the like, and 0.
func (b *block) duration(name string, to *time.Duration, least time.Duration) {
	v, at, ok := b.value(name)
	if !ok {
		return
	}
	if v.Type() != cty.String && v.Type() != cty.Number {
		b.wrongType(at, name, v, fmt.Sprintf("Write a duration in quotes: %s = \"2s\"", name))
		return
	}
	d, err := parseDuration(plain(v))
	if err != nil {
		b.fail(at, fmt.Sprintf("%s is not a duration: %v", name, err), fmt.Sprintf("Write a number with ms, s, m or h: %s = %q", name, suggestDuration(plain(v))))
		return
	}
	if d < least {
		b.fail(at, fmt.Sprintf("%s = %q is too short", name, plain(v)), fmt.Sprintf("Write at least %q.", least.String()))
		return
	}
	*to = d
}

// size reads a number of bytes, or "16KiB", "8MiB" and the like.
func (b *block) size(name string, to *int64, lo, hi int64) {
	if b.learn != nil {
		b.learn.sizes[name] = true
	}
	v, at, ok := b.value(name)
	if !ok {
		return
	}
	if v.Type() != cty.String && v.Type() != cty.Number {
		b.wrongType(at, name, v, fmt.Sprintf("Write a size in quotes: %s = \"16KiB\"", name))
		return
	}
	n, err := parseSize(plain(v))
	switch {
	case err != nil:
		b.fail(at, fmt.Sprintf("%s is not a size: %v", name, err), fmt.Sprintf("Write a number with KiB, MiB or GiB: %s = %q", name, cmp.Or(suggestSize(plain(v)), "16KiB")))
	case n < lo || n > hi:
		b.fail(at, fmt.Sprintf("%s = %q is out of range", name, plain(v)), fmt.Sprintf("Write a size from %s to %s.", formatSize(lo), formatSize(hi)))
	default:
		*to = n
	}
}
