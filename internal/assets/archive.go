package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"
)

// archive writes what people unpack: the binary, and what goes beside it.
func (r *release) archive(t target) error {
	files := append([]file{{filepath.Base(t.binary), t.binary, 0o755}}, r.shared...)
	if t.system == "windows" {
		return r.write(t.name()+".zip", func(f *os.File) error { return writeZip(f, files, r.date) })
	}
	return r.write(t.name()+".tar.gz", func(f *os.File) error {
		z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
		if err != nil {
			return err
		}
		if err := writeTar(z, files, r.date); err != nil {
			return err
		}
		return z.Close()
	})
}

func writeZip(w io.Writer, files []file, date time.Time) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: date}
		header.SetMode(os.FileMode(f.mode)) //nolint:gosec // one of ours
		entry, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		if err := copyFile(entry, f.path); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeTar writes files, which belong to root, and the folders that they are in.
func writeTar(w io.Writer, files []file, date time.Time) error {
	t := tar.NewWriter(w)
	folders := map[string]bool{".": true}
	for _, f := range files {
		if err := writeFolders(t, path.Dir(f.name), folders, date); err != nil {
			return err
		}
		info, err := os.Stat(f.path)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: info.Size(), Mode: f.mode, ModTime: date, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if err := copyFile(t, f.path); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeFolders(t *tar.Writer, folder string, written map[string]bool, date time.Time) error {
	if written[folder] {
		return nil
	}
	if err := writeFolders(t, path.Dir(folder), written, date); err != nil {
		return err
	}
	written[folder] = true
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: date, Format: tar.FormatUSTAR})
}

func copyFile(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	_, err = io.Copy(w, f)
	return err
}

// sums returns the SHA-256 of each file of the release, but for the list of them.
func (r *release) sums() (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(r.out, "lineoauth*"))
	sums := map[string]string{}
	for _, name := range files {
		hash := sha256.New()
		if err := copyFile(hash, name); err != nil {
			return nil, err
		}
		sums[filepath.Base(name)] = fmt.Sprintf("%x", hash.Sum(nil))
	}
	return sums, err
}
