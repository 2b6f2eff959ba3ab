package config

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// MarshalJSON returns the configuration as the admin API shows it: names as in the file, durations as "2s", secrets
// masked, and possible credentials in header values, URLs and queries masked, too.
func (c *Config) MarshalJSON() ([]byte, error) {
	return json.Marshal(view(reflect.ValueOf(*c)))
}

// view converts a value of this package's types to values for encoding/json.
func view(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case Secret:
		return x.String()
	case StatusSet:
		return x.String()
	case netip.Prefix:
		return x.String()
	case Header:
		return map[string]any{"name": x.Name, "value": x.Shown()}
	}
	switch v.Kind() {
	case reflect.String:
		return withoutCredentials(v.String())
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return view(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = view(v.Index(i))
		}
		return list
	case reflect.Struct:
		fields := make(map[string]any, v.NumField())
		for i := range v.NumField() {
			f := v.Type().Field(i)
			// A position is useless without the file.
			if f.Name == "Pos" || f.Name == "Filters" || f.Type.Kind() == reflect.Pointer && v.Field(i).IsNil() {
				continue
			}
			fields[snake(f.Name)] = view(v.Field(i))
		}
		return fields
	}
	return v.Interface()
}

// Shown returns the value without possible credentials.
func (h Header) Shown() string {
	if secretName(h.Name) {
		return Secret(h.Value).String()
	}
	return withoutCredentials(h.Value)
}

// snake converts a field's name to the attribute's: MaxConnections to max_connections, ConnectionsPerIP to
// connections_per_ip.
func snake(name string) string {
	switch name { // one word in HCL, two capitals here
	case "KeepAlive":
		return "keepalive"
	case "DotFiles":
		return "dotfiles"
	}
	var b strings.Builder
	previous := 'A'
	for _, c := range name {
		if unicode.IsUpper(c) && !unicode.IsUpper(previous) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
		previous = c
	}
	return b.String()
}
