// Command filter is lb with a block of its own, country. See docs/extending.md.
package main

import (
	"lb/command"
	"lb/examples/filter/country"
)

func main() { command.Main("", country.Extension) }
