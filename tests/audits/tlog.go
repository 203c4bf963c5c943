// Audits an exported log with Go's own transparency log packages, as go.sum's database is audited.
//
//	tlog DIR VKEY PROOFS    exit 0 and a JSON line of what was looked at, or exit 1 and what is wrong
//
// DIR is what `selfheal log export` wrote. PROOFS is a file of proofs that the log gave out:
// {"inclusion": [{"index", "size", "hashes"}], "consistency": [{"first", "second", "hashes"}]}, hashes in base64.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // of a tile: 256 hashes

type proofs struct {
	Inclusion []struct {
		Index, Size int64
		Hashes      []tlog.Hash
	}
	Consistency []struct {
		First, Second int64
		Hashes        []tlog.Hash
	}
}

func main() {
	directory, vkey, file := os.Args[1], os.Args[2], os.Args[3]
	began := time.Now()
	verifier, err := note.NewVerifier(vkey)
	check(err, "vkey")
	tree := opened(read(filepath.Join(directory, "checkpoint")), verifier)
	tiles := &reader{directory: directory, seen: map[string][]byte{}}
	stored := tlog.TileHashReader(tree, tiles)
	own := recompute(directory, tree, stored)
	heads := older(directory, tree, own, verifier)
	given := given(file, tree, own, stored)
	fmt.Printf("{\"size\": %d, \"heads\": %d, \"proofs\": %d, \"tiles\": %d, \"seconds\": %.3f}\n",
		tree.N, heads, given, len(tiles.seen), time.Since(began).Seconds())
}

// opened verifies a tree head's note and returns the tree in it.
func opened(text []byte, verifier note.Verifier) tlog.Tree {
	signed, err := note.Open(text, note.VerifierList(verifier))
	check(err, "checkpoint")
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail("checkpoint: it is not of %s", verifier.Name())
	}
	// Go's own logs have a fixed first line, others their origin: the rest is the same.
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.Join(lines[1:], "\n")))
	check(err, "checkpoint")
	return tree
}

// reader reads tiles from where C2SP tlog-tiles has them: Go's own paths name the height too.
type reader struct {
	directory string
	seen      map[string][]byte
}

func (r *reader) Height() int                     { return height }
func (r *reader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r *reader) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		if r.seen[path] == nil {
			found, err := os.ReadFile(filepath.Join(r.directory, path))
			if err != nil {
				return nil, err
			}
			r.seen[path] = found
		}
		data[i] = r.seen[path]
	}
	return data, nil
}

// memory holds the hashes of a tree that is grown from its records.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = m[index]
	}
	return hashes, nil
}

// recompute grows the tree from the bundles of entries, and compares every hash of it with the tiles.
func recompute(directory string, tree tlog.Tree, stored tlog.HashReader) memory {
	own := memory{}
	for n := int64(0); n < tree.N; {
		from := len(own)
		for _, record := range bundle(directory, n, tree.N) {
			hashes, err := tlog.StoredHashes(n, record, own)
			check(err, "record %d", n)
			own = append(own, hashes...)
			n++
		}
		indexes := make([]int64, len(own)-from)
		for i := range indexes {
			indexes[i] = int64(from + i)
		}
		found, err := stored.ReadHashes(indexes)
		check(err, "tiles up to record %d", n)
		for i, hash := range found {
			if hash != own[from+i] {
				level, place := tlog.SplitStoredHashIndex(indexes[i])
				fail("the hash of level %d, %d, is not that of the records", level, place)
			}
		}
	}
	root, err := tlog.TreeHash(tree.N, own)
	check(err, "tree")
	if root != tree.Hash {
		fail("the records make the tree %v, and %v was signed", root, tree.Hash)
	}
	return own
}

// bundle reads the entries of one tile: two bytes of length before each.
func bundle(directory string, first, size int64) [][]byte {
	width := size - first
	if width > 1<<height {
		width = 1 << height
	}
	path := tlog.Tile{H: height, L: 0, N: first >> height, W: int(width)}.Path()
	rest := read(filepath.Join(directory, strings.Replace(path, fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)))
	var records [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
			fail("the bundle from record %d on is cut off", first)
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		records, rest = append(records, rest[2:end]), rest[end:]
	}
	if int64(len(records)) != width {
		fail("the bundle from record %d on has %d records, not %d", first, len(records), width)
	}
	return records
}

// older verifies every earlier head, and that its tree begins this one. It returns how many there are.
func older(directory string, tree tlog.Tree, own memory, verifier note.Verifier) int {
	lines, count := bufio.NewScanner(bytes.NewReader(read(filepath.Join(directory, "heads.jsonl")))), 0
	for lines.Scan() {
		var head struct{ Note string }
		check(json.Unmarshal(lines.Bytes(), &head), "head %d", count)
		old := opened([]byte(head.Note), verifier)
		proof, err := tlog.ProveTree(tree.N, old.N, own)
		check(err, "head %d", old.N)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash), "head %d", old.N)
		count++
	}
	return count
}

// given checks the proofs that the log gave out, and that Go makes the same from the tiles. It returns how many there are.
func given(file string, tree tlog.Tree, own memory, stored tlog.HashReader) int {
	var given proofs
	check(json.Unmarshal(read(file), &given), "proofs")
	for _, p := range given.Inclusion {
		root, err := tlog.TreeHash(p.Size, own)
		check(err, "tree %d", p.Size)
		leaf := own[tlog.StoredHashIndex(0, p.Index)]
		check(tlog.CheckRecord(p.Hashes, p.Size, root, p.Index, leaf), "inclusion of %d in %d", p.Index, p.Size)
		made, err := tlog.ProveRecord(p.Size, p.Index, stored)
		check(err, "inclusion of %d in %d", p.Index, p.Size)
		same(made, p.Hashes, "inclusion of %d in %d", p.Index, p.Size)
	}
	for _, p := range given.Consistency {
		old, err := tlog.TreeHash(p.First, own)
		check(err, "tree %d", p.First)
		root, err := tlog.TreeHash(p.Second, own)
		check(err, "tree %d", p.Second)
		check(tlog.CheckTree(p.Hashes, p.Second, root, p.First, old), "consistency of %d and %d", p.First, p.Second)
		made, err := tlog.ProveTree(p.Second, p.First, stored)
		check(err, "consistency of %d and %d", p.First, p.Second)
		same(made, p.Hashes, "consistency of %d and %d", p.First, p.Second)
	}
	return len(given.Inclusion) + len(given.Consistency)
}

func same(made, given []tlog.Hash, what string, of ...any) {
	if fmt.Sprint(made) != fmt.Sprint(given) {
		fail("%s: Go makes another proof", fmt.Sprintf(what, of...))
	}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	check(err, "export")
	return data
}

func check(err error, what string, of ...any) {
	if err != nil {
		fail("%s: %v", fmt.Sprintf(what, of...), err)
	}
}

func fail(what string, of ...any) {
	fmt.Fprintf(os.Stderr, what+"\n", of...)
	os.Exit(1)
}
