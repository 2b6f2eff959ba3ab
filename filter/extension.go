package filter

// Extension is a block of routes that a build of one's own adds, see docs/extending.md.
type Extension struct {
	// Name is the name of the block. A route has at most one block of that name.
	Name string
	// Settings is a struct, not a pointer to one, with the defaults of the block's attributes. Each exported field has a tag that names its
	// attribute, as `hcl:"table"`. With `hcl:"table,file"` it is the name of a readable file, with `hcl:"token,secret"` its value is never
	// shown. The types are string, bool, int (from 0), time.Duration, []string and map[string]string.
	Settings any
	// Build makes the filters of one block, whose Settings it gets. It is called for each check, start and reload, and must start nothing
	// that would have to be ended. An error is reported at the place of the block.
	Build func(settings any) (Filters, error)
}

// NewExtension returns an extension whose settings have the type S.
func NewExtension[S any](name string, defaults S, build func(S) (Filters, error)) Extension {
	return Extension{name, defaults, func(settings any) (Filters, error) { return build(settings.(S)) }}
}

// Filters are what a block of an extension does.
type Filters struct {
	Request  Request  // nil: nothing
	Response Response // nil: nothing
	// Fields are the names of the fields of Grant. Clients cannot send them.
	Fields []string
	// Text is what "lb explain" says about the block.
	Text string
}
