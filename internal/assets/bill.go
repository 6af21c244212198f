package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"
)

// A component is one that a binary is built from.
type component struct {
	path, version string
	sum           string // SHA-256 of the module, in hexadecimal, as go.sum has it
	license       string // in SPDX's words
}

func (c component) purl() string {
	return "pkg:golang/" + strings.ReplaceAll(c.path, "+", "%2B") + "@" + strings.ReplaceAll(c.version, "+", "%2B")
}

// bills writes what a binary is built from, in two formats.
func (r *release) bills(t target) error {
	components, err := r.components(t.info)
	if err != nil {
		return err
	}
	err = r.write(t.name()+".cdx.json", func(f *os.File) error {
		return cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(r.cyclone(t, components), cyclonedx.SpecVersion1_6)
	})
	if err != nil {
		return err
	}
	return r.write(t.name()+".spdx.json", func(f *os.File) error {
		encoder := json.NewEncoder(f)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r.spdx(t, components))
	})
}

// components returns the program itself, Go's standard library, and the modules.
func (r *release) components(info *debug.BuildInfo) ([]component, error) {
	own, err := licenseIn(filepath.Join(r.stage, "share"))
	if err != nil {
		return nil, err
	}
	all := []component{
		{path: info.Main.Path, version: info.Main.Version, license: own},
		{path: "std", version: strings.TrimPrefix(info.GoVersion, "go"), license: "BSD-3-Clause"},
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			return nil, fmt.Errorf("%s is replaced, which no release may have", dep.Path)
		}
		folder, err := moduleFolder(dep)
		if err != nil {
			return nil, err
		}
		c := component{path: dep.Path, version: dep.Version}
		if c.license, err = licenseIn(folder); err != nil {
			return nil, err
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(dep.Sum, "h1:"))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s has the sum %q", dep.Path, dep.Sum)
		}
		c.sum = hex.EncodeToString(sum)
		all = append(all, c)
	}
	return all, nil
}

// moduleFolder is where Go keeps a module's source.
func moduleFolder(m *debug.Module) (string, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	cache := os.Getenv("GOMODCACHE")
	if cache == "" {
		return "", errors.New("set GOMODCACHE, as go env has it: the licenses are there")
	}
	return filepath.Join(cache, filepath.FromSlash(path)+"@"+version), nil
}

// licenseIn recognises the license in a module's folder. One that it does not is
// an error: a maintainer has to check it.
func licenseIn(folder string) (string, error) {
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if id := licenseOf(string(text)); err == nil && id != "" {
			return id, nil
		}
	}
	return "", fmt.Errorf("%s has no license that licenseOf knows; read it, and add it there", folder)
}

// licenseOf names a license in SPDX's words, by the sentences that only it has.
func licenseOf(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	has := func(sentence string) bool { return strings.Contains(text, sentence) }
	switch {
	case has("apache license version 2.0"):
		return "Apache-2.0"
	case has("permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT"
	case has("redistribution and use in source and binary forms") && has("neither the name"):
		return "BSD-3-Clause"
	case has("redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	}
	return ""
}

func (r *release) cyclone(t target, components []component) *cyclonedx.BOM {
	var all []cyclonedx.Component
	var names []string
	for i, c := range components {
		entry := cyclonedx.Component{
			BOMRef: c.purl(), Type: cyclonedx.ComponentTypeLibrary, Name: c.path, Version: c.version, PackageURL: c.purl(),
			Licenses: &cyclonedx.Licenses{{License: &cyclonedx.License{ID: c.license}}},
		}
		if c.sum != "" {
			entry.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: c.sum}}
		}
		if i == 0 {
			entry.Type = cyclonedx.ComponentTypeApplication
			entry.Properties = &[]cyclonedx.Property{{Name: "GOOS", Value: t.system}, {Name: "GOARCH", Value: t.arch}, {Name: "commit", Value: r.commit()}}
		} else {
			names = append(names, entry.BOMRef)
		}
		all = append(all, entry)
	}
	libraries := all[1:]
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: r.date.Format(time.RFC3339), Component: &all[0]}
	bom.Components = &libraries
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: all[0].BOMRef, Dependencies: &names}}
	return bom
}

// What SPDX 2.3 has of a document, as far as it is used here.
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		License       string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID            string          `json:"SPDXID"`
		Name          string          `json:"name"`
		Version       string          `json:"versionInfo"`
		Location      string          `json:"downloadLocation"`
		FilesAnalyzed bool            `json:"filesAnalyzed"`
		Concluded     string          `json:"licenseConcluded"`
		Declared      string          `json:"licenseDeclared"`
		Copyright     string          `json:"copyrightText"`
		References    []spdxReference `json:"externalRefs"`
	}
	spdxReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

func (r *release) spdx(t target, components []component) spdxDocument {
	const document = "SPDXRef-DOCUMENT"
	d := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: document, Name: t.name(), Namespace: r.url(t.name() + ".spdx.json"),
		Creation: spdxCreation{r.date.Format(time.RFC3339), []string{"Tool: lineoauth-assets", "Tool: " + runtime.Version()}},
	}
	for i, c := range components {
		id := fmt.Sprintf("SPDXRef-%d", i)
		location := "NOASSERTION"
		if c.sum != "" {
			location = "https://proxy.golang.org/" + c.path + "/@v/" + c.version + ".zip"
			if escaped, err := module.EscapePath(c.path); err == nil {
				location = strings.Replace(location, c.path, escaped, 1)
			}
		}
		d.Packages = append(d.Packages, spdxPackage{
			id, c.path, c.version, location, false, c.license, c.license, "NOASSERTION",
			[]spdxReference{{"PACKAGE-MANAGER", "purl", c.purl()}},
		})
		relationship := spdxRelationship{"SPDXRef-0", "DEPENDS_ON", id}
		if i == 0 {
			relationship = spdxRelationship{document, "DESCRIBES", id}
		}
		d.Relationships = append(d.Relationships, relationship)
	}
	return d
}
