package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"lb/filter"
)

// Extended is a block of an extension.
type Extended struct {
	Pos      Pos
	Name     string
	Settings []Setting
	Filters  filter.Filters
}

// Setting is an attribute of an extension's block as text. One of Value and Secret is empty.
type Setting struct {
	Name   string
	Value  string
	Secret Secret
}

// WithExtensions adds blocks to routes.
func WithExtensions(list ...filter.Extension) Option {
	words := sync.OnceValue(func() *vocabulary { return learnVocabulary(list) })
	return func(o *options) { o.extensions, o.words = list, words }
}

// readExtensions reads the blocks of extensions in a route whose other blocks have been read.
func readExtensions(route *block) (list []Extended) {
	known := slices.Concat(route.knownBlocks, route.knownAttributes)
	for _, e := range route.extensions {
		if slices.Contains(known, e.Name) {
			route.fail(route.at, fmt.Sprintf("this build extends routes by %q, which is a name that routes have already", e.Name), "Rename the extension, and build lb again.")
			continue
		}
		known = append(known, e.Name)
		if b := route.one(e.Name); b != nil {
			list = append(list, readExtension(b, e))
		}
	}
	return list
}

func readExtension(b *block, e filter.Extension) Extended {
	x := Extended{Pos: b.pos(b.at), Name: e.Name}
	to := reflect.New(reflect.TypeOf(e.Settings)).Elem()
	to.Set(reflect.ValueOf(e.Settings))
	before := len(b.found)
	for i := range to.NumField() {
		tag, ok := to.Type().Field(i).Tag.Lookup("hcl")
		if !ok {
			continue
		}
		name, kind, _ := strings.Cut(tag, ",")
		x.Settings = append(x.Settings, b.setting(name, kind, to.Field(i).Addr().Interface()))
	}
	b.end()
	if b.learn != nil || b.withoutFiles || b.found[before:].HasErrors() {
		return x
	}
	var err error
	if x.Filters, err = e.Build(to.Interface()); err != nil {
		b.fail(b.at, fmt.Sprintf("%s: %v", e.Name, err), "Correct the block, or remove it.")
	}
	return x
}

// setting reads one attribute.
func (b *block) setting(name, kind string, to any) Setting {
	switch to := to.(type) {
	case *string:
		switch kind {
		case "secret":
			secret := Secret(*to)
			b.secret(name, &secret)
			*to = string(secret)
			return Setting{Name: name, Secret: secret}
		case "file":
			b.file(name, to)
			b.checkReadable(name, *to)
		default:
			b.text(name, to)
		}
	case *bool:
		b.flag(name, to)
	case *int:
		b.number(name, to, 0, unlimited)
	case *time.Duration:
		b.duration(name, to, 0)
	case *[]string:
		b.texts(name, "a", to)
	case *map[string]string:
		pairs := make(map[string]string)
		for _, h := range b.pairs(name) {
			pairs[h.Name] = h.Value
		}
		if b.written(name) {
			*to = pairs
		}
	default:
		panic(fmt.Sprintf("the setting %s of an extension has the type %T, which no attribute has", name, to))
	}
	return Setting{Name: name, Value: fmt.Sprint(reflect.ValueOf(to).Elem().Interface())}
}
