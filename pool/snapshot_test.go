package pool

import (
	"strings"
	"testing"
)

// A member is written as its address and its axes: u(p), d(own), ?; e(jected), t(rial), r(efusing);
// D(rain), M(aint); b(ackup).
func parse(spec string) []*Backend {
	var members []*Backend
	for word := range strings.FieldsSeq(spec) {
		s := state{active: ActiveUp}
		for _, c := range word[1:] {
			switch c {
			case 'd':
				s.active = ActiveDown
			case '?':
				s.active = ActiveUnknown
			case 'e':
				s.passive = PassiveEject
			case 't':
				s.passive = PassiveTrial
			case 'r':
				s.passive = PassiveRefuse
			case 'D':
				s.admin = Drain
			case 'M':
				s.admin = Maint
			case 'b':
				s.backup = true
			}
		}
		b := &Backend{address: word[:1]}
		b.set(&s)
		members = append(members, b)
	}
	return members
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		name, members string
		threshold     float64
		want          string
		tier          tier
	}{
		{"all up", "Au Bu Cu", .5, "A B C", tierPrimary},
		{"backups rest", "Au Bub", .5, "A", tierPrimary},
		{"trial is usable", "At Bu", 1, "A B", tierPrimary},
		{"backups when all primaries are out", "Ad Be CD Dub Eub", .5, "D E", tierBackup},
		{"a backup that is down", "Ad Bdb", .5, "", tierNone},
		{"unknown only when none is up", "Au B? C?", .5, "A", tierPrimary},
		{"unknown at the start", "A? B? C?b", .5, "A B", tierUnknown},
		{"unknown while the rest is down", "Ad B?", .5, "B", tierUnknown},
		{"a backup that is up precedes the unknown", "A? Bub", .5, "B", tierBackup},
		{"unknown backups are the last", "Ad B?b", .5, "B", tierUnknown},
		{"unknown in maintenance", "A?M", .5, "", tierNone},
		{"panic below the share", "Au Bd Ce", .5, "A B C", tierPanic},
		{"at the share no panic", "Au Bd", .5, "A", tierPrimary},
		{"threshold 0 never", "Au Bd Cd Dd", 0, "A", tierPrimary},
		{"panic leaves out what the administrator did", "Au Bd Cd DD EM", .5, "A B C", tierPanic},
		{"drained do not count for the share", "Au BD CM DD", .5, "A", tierPrimary},
		{"backups do not count for the share", "Au Bdb Cdb Ddb", .5, "A", tierPrimary},
		{"panic leaves out what refuses connections", "Au Br Cd Ddr Ee", .5, "A C E", tierPanic},
		{"with the others refusing there is nothing to panic to", "Au Br Cr", 1, "A", tierPrimary},
		{"a backup replaces a refusing backend", "Ar Bub", .5, "B", tierBackup},
		{"refusing before its first probe", "A?r B?", .5, "B", tierUnknown},
		{"all refuse", "Ar Br", .5, "", tierNone},
		{"none usable is no panic", "Ad Bd Ce", 1, "", tierNone},
		{"no members", "", .5, "", tierNone},
	} {
		got := choose(parse(c.members), c.threshold)
		if addresses(got.used) != c.want || got.tier != c.tier {
			t.Errorf("%s: %q gave %q (%s), want %q (%s)", c.name, c.members, addresses(got.used), got.tier, c.want, c.tier)
		}
	}
}

func TestStateNames(t *testing.T) {
	for spec, want := range map[string]string{
		"Au": "up", "Ad": "down", "A?": "unknown", "Ae": "ejected", "Ar": "ejected", "At": "up",
		"AdD": "drain", "AeM": "maint", "Ade": "down",
	} {
		if got := parse(spec)[0].state.Load().name(); got != want {
			t.Errorf("%s is %q, want %q", spec, got, want)
		}
	}
	for _, a := range []Admin{Ready, Drain, Maint} {
		if got, ok := ParseAdmin(a.String()); !ok || got != a {
			t.Errorf("%v is parsed as %v", a, got)
		}
	}
	if _, ok := ParseAdmin("off"); ok {
		t.Error(`"off" is no admin state`)
	}
}

// TestTrialBesideBackups: primaries on trial get one request each, the backups get the others.
func TestTrialBesideBackups(t *testing.T) {
	for _, c := range []struct {
		name, members, want, spare string
		tier                       tier
	}{
		{"the only primary is on trial", "At Bub Cub", "A B C", "", tierBackup},
		{"all primaries are", "At Bt Cub", "A B C", "", tierBackup},
		{"one is, the others are down", "At Bd Cd Dub", "A D", "", tierBackup},
		{"another primary is up", "At Bu Cub", "A B", "C", tierPrimary},
		{"the backup is down", "At Bdb", "A", "", tierPrimary},
		{"the backup is on trial too", "At Btb", "A B", "", tierBackup},
		{"panic", "Au Bd Cd Dub", "A B C", "D", tierPanic},
	} {
		got := choose(parse(c.members), .5)
		if addresses(got.used) != c.want || addresses(got.spare) != c.spare || got.tier != c.tier {
			t.Errorf("%s: %q, to spare %q (%s), want %q, %q (%s)",
				c.name, addresses(got.used), addresses(got.spare), got.tier, c.want, c.spare, c.tier)
		}
	}
}
