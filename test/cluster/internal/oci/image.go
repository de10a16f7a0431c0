package oci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
)

// Family of media types.
type Family int

const (
	OCI Family = iota
	Docker
)

// Config is the part of an image's configuration that says how to run it.
type Config struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
}

// Descriptor names a blob or a manifest.
type Descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"`
	Platform  *Platform `json:"platform,omitempty"`
}

type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *Descriptor  `json:"config,omitempty"`
	Layers        []Descriptor `json:"layers,omitempty"`
	Manifests     []Descriptor `json:"manifests,omitempty"`
}

// Image is what a tag points at, and every manifest that has to be pushed before it.
type Image struct {
	Name     string       `json:"name"`
	Tag      string       `json:"tag"`
	Top      Descriptor   `json:"top"`
	Children []Descriptor `json:"children,omitempty"`
}

func (f Family) pick(oci, docker string) string {
	if f == Docker {
		return docker
	}
	return oci
}

func (f Family) layerType(c Compression) string {
	switch c {
	case Zstd:
		// Docker has no type of its own for it.
		return "application/vnd.oci.image.layer.v1.tar+zstd"
	case Plain:
		return f.pick("application/vnd.oci.image.layer.v1.tar",
			"application/vnd.docker.image.rootfs.diff.tar")
	default:
		return f.pick("application/vnd.oci.image.layer.v1.tar+gzip",
			"application/vnd.docker.image.rootfs.diff.tar.gzip")
	}
}

// AddManifest stores the configuration and the manifest of an image for one platform.
func (s *Store) AddManifest(f Family, p Platform, config Config, layers []Layer) (Descriptor, error) {
	type rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	document := struct {
		Created string `json:"created"`
		Platform
		Config Config `json:"config"`
		Rootfs rootfs `json:"rootfs"`
	}{Created: "2024-01-01T00:00:00Z", Platform: p, Config: config, Rootfs: rootfs{Type: "layers"}}
	m := manifest{
		SchemaVersion: 2,
		MediaType: f.pick("application/vnd.oci.image.manifest.v1+json",
			"application/vnd.docker.distribution.manifest.v2+json"),
	}
	for _, layer := range layers {
		document.Rootfs.DiffIDs = append(document.Rootfs.DiffIDs, layer.DiffID)
		m.Layers = append(m.Layers, Descriptor{
			MediaType: f.layerType(layer.Compression), Digest: layer.Digest, Size: layer.Size,
		})
	}
	configType := f.pick("application/vnd.oci.image.config.v1+json",
		"application/vnd.docker.container.image.v1+json")
	descriptor, err := s.putJSON(configType, document)
	if err != nil {
		return Descriptor{}, err
	}
	m.Config = &descriptor
	result, err := s.putJSON(m.MediaType, m)
	result.Platform = &p
	return result, err
}

// AddIndex stores an index over manifests.
func (s *Store) AddIndex(f Family, manifests []Descriptor) (Descriptor, error) {
	m := manifest{
		SchemaVersion: 2,
		MediaType: f.pick("application/vnd.oci.image.index.v1+json",
			"application/vnd.docker.distribution.manifest.list.v2+json"),
		Manifests: manifests,
	}
	return s.putJSON(m.MediaType, m)
}

func (s *Store) putJSON(mediaType string, value any) (Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return Descriptor{}, err
	}
	digest, err := s.Put(data)
	return Descriptor{MediaType: mediaType, Digest: digest, Size: int64(len(data))}, err
}

// Host is this machine's platform.
func Host() Platform { return Platform{Architecture: runtime.GOARCH, OS: "linux"} }

const listFile = "images.json"

// SaveList stores the images of a store; its presence says that the store is complete.
func (s *Store) SaveList(images []Image) error {
	data, err := json.MarshalIndent(images, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dir, listFile)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// List reads what SaveList stored.
func (s *Store) List() ([]Image, error) {
	data, err := os.ReadFile(filepath.Join(s.Dir, listFile))
	if err != nil {
		return nil, err
	}
	var images []Image
	return images, json.Unmarshal(data, &images)
}
