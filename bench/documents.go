package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// words are made of syllables, the frequent ones first. The same in every run.
func words() []string {
	source := rand.New(rand.NewPCG(1, 2))
	syllables := strings.Fields("ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo zu an er in or us al en is on th st ing tion ment")
	list := make([]string, 2000)
	for i := range list {
		for range 1 + source.IntN(3) {
			list[i] += syllables[source.IntN(len(syllables))]
		}
	}
	return list
}

// sentence is n words, of which few are frequent and many rare, as in a text.
func sentence(source *rand.Rand, list []string, n int) string {
	chosen := make([]string, n)
	for i := range chosen {
		x := source.Float64()
		chosen[i] = list[int(x*x*x*float64(len(list)))]
	}
	return strings.Join(chosen, " ")
}

// htmlDocument is a page of size bytes that compresses like a usual one.
func htmlDocument(size int) []byte {
	source, list := rand.New(rand.NewPCG(3, 4)), words()
	out := bytes.NewBufferString("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Articles</title></head><body>\n")
	for i := 0; out.Len() < size; i++ {
		fmt.Fprintf(out, "<article class=\"entry\" id=\"entry-%d\">\n  <h2><a href=\"/articles/%d/%s\">%s</a></h2>\n  <p class=\"summary\">%s.</p>\n"+
			"  <footer><time datetime=\"2026-%02d-%02d\">%d</time> <span class=\"views\">%d</span></footer>\n</article>\n",
			i, source.IntN(100_000), strings.ReplaceAll(sentence(source, list, 4), " ", "-"), sentence(source, list, 5), sentence(source, list, 20+source.IntN(60)),
			1+source.IntN(12), 1+source.IntN(28), source.IntN(1000), source.IntN(10_000))
	}
	return out.Bytes()[:size]
}

// jsonDocument is a list of size bytes that compresses like the response of an API. Its end is cut off, which no balancer reads.
func jsonDocument(size int) []byte {
	source, list := rand.New(rand.NewPCG(5, 6)), words()
	out := bytes.NewBufferString("[\n")
	for i := 0; out.Len() < size; i++ {
		fmt.Fprintf(out, `{"id":%d,"uuid":"%016x","name":%q,"active":%t,"price":%d.%02d,"tags":[%q,%q],"description":%q},`+"\n",
			i, source.Uint64(), sentence(source, list, 2), source.IntN(2) == 0, source.IntN(1000), source.IntN(100),
			sentence(source, list, 1), sentence(source, list, 1), sentence(source, list, 8+source.IntN(16)))
	}
	return out.Bytes()[:size]
}
