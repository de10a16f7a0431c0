// Package supervise keeps the processes of one instance (a cluster, a registry) alive after the
// command that started them has returned, and makes sure that none outlives the instance.
//
// One supervisor process per instance folder is the parent of all its components and starts them
// with the kernel's parent-death signal, so that killing the supervisor ends everything. It can
// watch an owner process and go when that one goes. Its layout in the folder:
//
//	spec.json          what to run (written before the supervisor starts)
//	control.sock       one request line, one answer line per connection
//	pids               "name pid" lines, rewritten at each change
//	logs/NAME.log      stdout and stderr of each component, appended over restarts
//	logs/supervisor.log
package supervise

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Component is one process of an instance.
type Component struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"`
}

// Spec is everything the supervisor and later calls of the driver need to know of an instance.
type Spec struct {
	Kind string `json:"kind"` // "cluster" or "registry"
	// Owner, if not 0, is the process whose end ends the instance.
	Owner      int               `json:"owner,omitempty"`
	Components []Component       `json:"components"`
	Facts      map[string]string `json:"facts"` // addresses, options; meaning is the kind's
	// Files are the names below the instance's folder that Down removes.
	Files []string `json:"files"`
}

const specFile = "spec.json"

// Own files of the supervisor, removed together with Spec.Files.
var ownFiles = []string{"control.sock", "pids", "logs", specFile}

// Save writes the spec into dir.
func (s *Spec) Save(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, specFile), append(data, '\n'), 0o644)
}

// Load reads the spec of the instance in dir.
func Load(dir, kind string) (*Spec, error) {
	data, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return nil, fmt.Errorf("no instance in %s: %w", dir, err)
	}
	spec := &Spec{}
	if err := json.Unmarshal(data, spec); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, specFile), err)
	}
	if kind != "" && spec.Kind != kind {
		return nil, fmt.Errorf("%s holds a %s, not a %s", dir, spec.Kind, kind)
	}
	return spec, nil
}
