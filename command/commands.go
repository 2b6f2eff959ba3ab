package command

// subcommand is one command, with what "lb help" says of it.
type subcommand struct {
	name     string
	forms    []form
	about    string // without its first words, "lb NAME"
	examples string // a line each
	fails    string // what exit status 1 means
	run      func(args []string, s streams) int
}

// form is one way to write a command, and what it does in a few words.
type form struct{ usage, summary string }

// failsToAsk is what exit status 1 means of the commands that talk to a running balancer.
const failsToAsk = "no balancer responds, or it rejects the request"

// commands returns all commands in the order in which they are listed. It is no variable, as each command's flags look here.
func commands() []subcommand {
	state := func(name string) func([]string, streams) int {
		return func(args []string, s streams) int { return stateCommand(name, args, s) }
	}
	return []subcommand{
		{"run", []form{
			{"lb -config lb.hcl", "run (the same as: lb run -config lb.hcl)"},
			{"lb -listen :8080 -to HOST:PORT,… [-static DIR] [-balance least_conn]", "run without a file"},
		}, "runs the balancer until SIGTERM or SIGINT drains and ends it. SIGHUP reloads the configuration, SIGUSR1 reopens\n" +
			"the log files, SIGUSR2 starts a new binary and hands over to it.",
			"lb -config /etc/lb/lb.hcl\nlb -listen :8080 -to 127.0.0.1:5000,127.0.0.1:5001",
			"it could not start, or was ended by a second signal", runCommand},
		{"demo", []form{{"lb demo", "try it: three replicas of a small application"}},
			"runs a balancer, three replicas of a small application and the dashboard, and prints the complete configuration\n" +
				"to copy from. One replica stops and returns periodically. Ctrl-C ends it.",
			"lb demo\nlb demo -listen 127.0.0.1:8081 -admin 127.0.0.1:9901",
			"it could not start", demoCommand},
		{"check", []form{{"lb check -config lb.hcl", "validate the configuration"}},
			"validates a configuration and prints every error and warning with its position and what to write instead.",
			"lb check -config lb.hcl\nlb check -config /etc/lb",
			"the configuration has errors or cannot be read; warnings do not count", checkCommand},
		{"fmt", []form{{"lb fmt lb.hcl", "rewrite it in canonical style"}},
			"rewrites files in canonical style and prints the names of those that it changes. With \"-\" it reads standard\n" +
				"input and writes standard output.",
			"lb fmt lb.hcl\nlb fmt -check /etc/lb/*.hcl\nlb fmt - <lb.hcl",
			"a file cannot be read, parsed or written; with -check, also if one is not in canonical style", fmtCommand},
		{"status", []form{{"lb status", "the pools of the running balancer"}},
			"prints the pools of the running balancer and the state of their backends.",
			"lb status\nlb status -config /srv/lb.hcl\nlb status -admin unix:/run/lb/admin.sock", failsToAsk, statusCommand},
		{"top", []form{{"lb top", "the same, live and with rates; -n N prints N tables"}},
			"shows the pools of the running balancer live, with rates. In a terminal q quits, arrows and page keys scroll;\n" +
				"in a pipe it prints one table after another.",
			"lb top\nlb top -n 1 | cat", failsToAsk, topCommand},
		{"drain", []form{{"lb drain POOL/BACKEND", "send it no new requests; those in flight finish"}},
			"sends a backend no new requests except sticky ones; those in flight finish. This holds until lb ready or lb maint,\n" +
				"through reloads and upgrades, but not after a restart.",
			"lb drain app/127.0.0.1:5000\nlb drain -wait -timeout 5m app/unix:/run/app.sock",
			failsToAsk + "; with -wait, also if requests are still in flight after -timeout", state("drain")},
		{"maint", []form{{"lb maint POOL/BACKEND", "send it none, and stop its health checks"}},
			"sends a backend no requests and stops its health checks; requests in flight finish. It holds as long as lb drain.",
			"lb maint app/127.0.0.1:5000\nlb maint -wait app/127.0.0.1:5000",
			failsToAsk + "; with -wait, also if requests are still in flight after -timeout", state("maint")},
		{"ready", []form{{"lb ready POOL/BACKEND", "use it again"}},
			"ends lb drain and lb maint: the backend is used again, if it is up.",
			"lb ready app/127.0.0.1:5000", failsToAsk, state("ready")},
		{"weight", []form{{"lb weight POOL/BACKEND N", "set its weight; 0 restores the configured one"}},
			"sets the weight of a backend: its share relative to the others. 0 restores the configured weight.",
			"lb weight app/127.0.0.1:5000 5\nlb weight app/127.0.0.1:5000 0", failsToAsk, weightCommand},
		{"purge", []form{{"lb purge URL | -prefix URL | -tag TAG", "remove stored responses"}},
			"removes stored responses from the cache: those to a URL, those to all URLs with a prefix, or those that a backend has\n" +
				"tagged with Cache-Tag or Surrogate-Key. It prints how many. A URL without a host, such as /page, is that of all hosts.",
			"lb purge https://example.com/page\nlb purge -prefix https://example.com/blog/\nlb purge -tag product-7",
			failsToAsk, purgeCommand},
		{"explain", []form{{"lb explain URL", "how a request would be handled, and why"}},
			"shows how a request would be handled: site, route, pool and backends, and why each backend would be skipped.\n" +
				"It sends nothing.",
			"lb explain http://clock.example.com/images/clock.svg\nlb explain -config lb.hcl -method POST http://clock.example.com/api/",
			failsToAsk + "; with -config: the configuration has errors", explainCommand},
		{"reload", []form{{"lb reload", "reload the running balancer's configuration"}},
			"makes the running balancer reload its configuration. A configuration with errors changes nothing. -config does\n" +
				"not select another configuration to run; it only says where the admin listener is.",
			"lb reload", "the configuration has errors, or no balancer responds", reloadCommand},
		{"version", []form{{"lb version", "print the version"}},
			"prints the versions of lb and Go, and the platform.", "lb version", "", versionCommand},
		{"help", []form{{"lb help COMMAND", "describe a command: its flags, examples, exit status"}},
			"", "", "", helpCommand},
	}
}
