package config

import (
	"fmt"
	"reflect"
	"strings"

	"lb/filter"
)

// Treatment returns the same text for routes that handle a request in the same way and differ at most in what they
// match. The text may contain secrets.
func (t *Route) Treatment() string {
	r := *t
	r.Pattern, r.Methods, r.Headers, r.Query = "", nil, nil, nil
	if !t.CutsPrefix() && r.Redirect == nil {
		r.Path, r.Exact = "", false
	}
	if !t.usesGroups() {
		r.Regexp = ""
	}
	var b strings.Builder
	treatment(&b, reflect.ValueOf(r))
	return b.String()
}

// usesGroups reports whether the route may use groups of its regular expression.
func (t *Route) usesGroups() bool {
	return t.Redirect != nil || t.Proxy != nil && t.Proxy.Rewrite != ""
}

// CutsPrefix reports whether the route's path is removed from the request's.
func (t *Route) CutsPrefix() bool {
	return t.Static != nil && t.Static.StripPrefix ||
		t.Proxy != nil && (t.Proxy.StripPrefix || strings.Contains(t.Proxy.Rewrite, "{rest}"))
}

// treatment writes a value without the places in files.
func treatment(b *strings.Builder, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[Pos](), v.Type() == reflect.TypeFor[filter.Filters](): // what these do is in the settings
	case v.Kind() == reflect.Pointer && !v.IsNil():
		treatment(b, v.Elem())
	case v.Kind() == reflect.Slice:
		fmt.Fprintf(b, "%d[", v.Len())
		for i := range v.Len() {
			treatment(b, v.Index(i))
		}
	case v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[Pos]().PkgPath():
		for i := range v.NumField() {
			treatment(b, v.Field(i))
		}
		b.WriteByte('\n')
	case v.Kind() == reflect.String: // a Secret too
		fmt.Fprintf(b, "%q ", v.String())
	default:
		fmt.Fprintf(b, "%v ", v.Interface())
	}
}
