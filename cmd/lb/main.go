// Command lb is an HTTP load balancer: one process in front of web applications.
//
//	lb -config lb.hcl
package main

import "lb/command"

// version is set when a release is built.
var version = "dev"

func main() { command.Main(version) }
