package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	imageFile = "lineoauth_image.tar"
	nonroot   = 65532 // who runs in the image, as in others without a distribution
)

// image writes an archive in OCI's layout, with an image for each Linux.
func (r *release) image() error {
	certificates, err := r.base()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, t := range r.targets {
		if t.system != "linux" {
			continue
		}
		image, err := r.imageOf(t, certificates)
		if err != nil {
			return err
		}
		platform := &v1.Platform{OS: t.system, Architecture: t.arch}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	folder, err := os.MkdirTemp("", "lineoauth-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	names := map[string]string{
		"org.opencontainers.image.ref.name": r.version(),
		"io.containerd.image.name":          imageName + ":" + r.version(), // what docker load calls it
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return err
	}
	files, err := filesOf(folder)
	if err != nil {
		return err
	}
	return r.write(imageFile, func(f *os.File) error { return writeTar(f, files, r.date) })
}

func (r *release) imageOf(t target, base v1.Layer) (v1.Image, error) {
	binary, err := layerOf(func(w io.Writer) error {
		return writeTar(w, []file{{"usr/bin/lineoauth", t.binary, 0o755}}, r.date)
	})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	history := func(what string) v1.History {
		return v1.History{Created: v1.Time{Time: r.date}, CreatedBy: what}
	}
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: base, History: history("certificate authorities, the user, /tmp")},
		mutate.Addendum{Layer: binary, History: history("lineoauth " + r.version())})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, r.imageConfig(image, t))
}

func (r *release) imageConfig(image v1.Image, t target) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil { // it is in memory, and was just made
		config = &v1.ConfigFile{}
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = t.system, t.arch, v1.Time{Time: r.date}
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", nonroot, nonroot),
		Env:          []string{"PATH=/usr/bin", "HOME=/home/nonroot", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		WorkingDir:   "/home/nonroot",
		Entrypoint:   []string{"/usr/bin/lineoauth"},
		Cmd:          []string{"serve", "--listen", "0.0.0.0:8080"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "lineoauth",
			"org.opencontainers.image.description": description,
			"org.opencontainers.image.url":         homepage,
			"org.opencontainers.image.source":      homepage,
			"org.opencontainers.image.licenses":    license,
			"org.opencontainers.image.version":     r.version(),
			"org.opencontainers.image.revision":    r.commit(),
			"org.opencontainers.image.created":     r.date.Format(time.RFC3339),
		},
	}
	return config
}

// base is the layer below the binary: who LINE's certificate can be from, a user
// that is not root, and where that user may write.
func (r *release) base() (v1.Layer, error) {
	var certificates bytes.Buffer
	for root := range bundle.Roots() {
		if err := pem.Encode(&certificates, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	licenseText, err := os.ReadFile(filepath.Join(r.stage, "share", "LICENSE"))
	if err != nil {
		return nil, err
	}
	return layerOf(func(w io.Writer) error {
		t := tar.NewWriter(w)
		for _, f := range []struct {
			name, text string
			mode       int64
			owner      int
		}{
			{"etc/", "", 0o755, 0},
			{"etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n", 0o644, 0},
			{"etc/group", "root:x:0:\nnonroot:x:65532:\n", 0o644, 0},
			{"etc/ssl/", "", 0o755, 0},
			{"etc/ssl/certs/", "", 0o755, 0},
			{"etc/ssl/certs/ca-certificates.crt", certificates.String(), 0o644, 0},
			{"home/", "", 0o755, 0},
			{"home/nonroot/", "", 0o700, nonroot},
			{"tmp/", "", 0o1777, 0},
			{"usr/", "", 0o755, 0},
			{"usr/share/", "", 0o755, 0},
			{"usr/share/licenses/", "", 0o755, 0},
			{"usr/share/licenses/lineoauth", string(licenseText), 0o644, 0},
		} {
			header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.text)), Mode: f.mode, Uid: f.owner, Gid: f.owner, ModTime: r.date, Format: tar.FormatUSTAR}
			if strings.HasSuffix(f.name, "/") {
				header.Typeflag = tar.TypeDir
			}
			if err := t.WriteHeader(header); err != nil {
				return err
			}
			if _, err := io.WriteString(t, f.text); err != nil {
				return err
			}
		}
		return t.Close()
	})
}

// layerOf makes a layer of what fill writes as a tar.
func layerOf(fill func(io.Writer) error) (v1.Layer, error) {
	var content bytes.Buffer
	if err := fill(&content); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

func filesOf(folder string) (files []file, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		files = append(files, file{filepath.ToSlash(name), path, 0o644})
		return err
	})
	return files, err
}

// push uploads an image that release.image wrote to a registry, under a name such
// as ghcr.io/lineoauth/lineoauth:1.2.3.
func push(ctx context.Context, image, reference, user, password string) error {
	to, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "lineoauth-push-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	index, err := readImage(image, folder)
	if err != nil {
		return fmt.Errorf("%s: %w", image, err)
	}
	login := authn.Anonymous
	if user != "" {
		login = authn.FromConfig(authn.AuthConfig{Username: user, Password: password})
	}
	return remote.WriteIndex(to, index, remote.WithAuth(login), remote.WithContext(ctx))
}

// readImage unpacks an image into a folder, and returns its index.
func readImage(image, folder string) (v1.ImageIndex, error) {
	f, err := os.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	if err := unpack(f, root); err != nil {
		return nil, err
	}
	outer, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, errors.New("this is no image of a release")
	}
	return outer.ImageIndex(manifest.Manifests[0].Digest)
}

// unpack writes the folders and files of a tar.
func unpack(r io.Reader, root *os.Root) error {
	t := tar.NewReader(r)
	for {
		header, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case header.Typeflag == tar.TypeDir:
			err = root.MkdirAll(header.Name, header.FileInfo().Mode().Perm())
		case header.Typeflag == tar.TypeReg:
			err = unpackFile(t, root, header)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(t *tar.Reader, root *os.Root, header *tar.Header) error {
	f, err := root.OpenFile(header.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, t, header.Size)
	return errors.Join(err, f.Close())
}
