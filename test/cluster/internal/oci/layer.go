// Package oci makes container images from files and pushes them to a registry, with the oddities
// tests need: any compression, both families of media types, indexes, hundreds of layers.
package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Compression of a layer.
type Compression int

const (
	Gzip Compression = iota
	Zstd
	Plain
)

// Entry is one member of a layer. Data or From (a file of this machine) is the content of a file.
type Entry struct {
	Path  string
	Type  byte // tar type; 0 is a regular file
	Mode  int64
	Uid   int
	Gid   int
	Data  []byte
	From  string
	Link  string
	Xattr map[string]string
}

// Dir, File, Symlink and Hardlink are the usual entries.
func Dir(path string, mode int64) Entry {
	return Entry{Path: path + "/", Type: tar.TypeDir, Mode: mode}
}

func File(path, text string) Entry {
	return Entry{Path: path, Mode: 0o644, Data: []byte(text)}
}

func Program(path, from string) Entry {
	return Entry{Path: path, Mode: 0o755, From: from}
}

func Symlink(path, target string) Entry {
	return Entry{Path: path, Type: tar.TypeSymlink, Mode: 0o777, Link: target}
}

func Hardlink(path, target string) Entry {
	return Entry{Path: path, Type: tar.TypeLink, Mode: 0o755, Link: target}
}

// Layer is a stored blob. DiffID is the digest before compression.
type Layer struct {
	Digest, DiffID string
	Size           int64
	Compression    Compression
}

// Store is a folder of blobs named by their digests, as in an OCI image layout.
type Store struct {
	Dir string
}

func (s *Store) blobPath(digest string) string {
	return filepath.Join(s.Dir, "blobs", "sha256", digest[len("sha256:"):])
}

// Put stores bytes and returns their digest.
func (s *Store) Put(data []byte) (string, error) {
	sum := sha256.Sum256(data)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	path := s.blobPath(digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return digest, os.WriteFile(path, data, 0o644)
}

// Get reads a blob.
func (s *Store) Get(digest string) ([]byte, error) {
	return os.ReadFile(s.blobPath(digest))
}

// AddLayer writes the entries as a layer. The result depends on nothing but them.
func (s *Store) AddLayer(compression Compression, entries []Entry) (Layer, error) {
	var blob bytes.Buffer
	var packer io.WriteCloser
	var err error
	switch compression {
	case Gzip:
		packer, err = gzip.NewWriterLevel(&blob, gzip.BestSpeed)
	case Zstd:
		packer, err = zstd.NewWriter(&blob)
	case Plain:
		packer = nopCloser{&blob}
	}
	if err != nil {
		return Layer{}, err
	}
	diff := sha256.New()
	if err := writeTar(io.MultiWriter(packer, diff), entries); err != nil {
		return Layer{}, err
	}
	if err := packer.Close(); err != nil {
		return Layer{}, err
	}
	digest, err := s.Put(blob.Bytes())
	return Layer{
		Digest:      digest,
		DiffID:      "sha256:" + hex.EncodeToString(diff.Sum(nil)),
		Size:        int64(blob.Len()),
		Compression: compression,
	}, err
}

func writeTar(w io.Writer, entries []Entry) error {
	writer := tar.NewWriter(w)
	for _, e := range entries {
		header := &tar.Header{
			Name: e.Path, Typeflag: e.Type, Mode: e.Mode, Uid: e.Uid, Gid: e.Gid, Linkname: e.Link,
			ModTime: time.Unix(1700000000, 0), Format: tar.FormatPAX,
		}
		for key, value := range e.Xattr {
			if header.PAXRecords == nil {
				header.PAXRecords = map[string]string{}
			}
			header.PAXRecords["SCHILY.xattr."+key] = value
		}
		data := e.Data
		if e.From != "" {
			content, err := os.ReadFile(e.From)
			if err != nil {
				return err
			}
			data = content
		}
		if e.Type == 0 {
			header.Typeflag = tar.TypeReg
			header.Size = int64(len(data))
		}
		if err := writer.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if _, err := writer.Write(data); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return writer.Close()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
