// configzcheck reads what a node's /configz answers and holds its "kubeletconfig" against the kubelet's own type: a field
// that KubeletConfiguration does not have, or of another kind, is an error. It prints the configuration as that type
// writes it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	kubelet "k8s.io/kubelet/config/v1beta1"
	strict "sigs.k8s.io/json"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("configzcheck: ")
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		log.Fatal(err)
	}
	var config kubelet.KubeletConfiguration
	wrong, err := strict.UnmarshalStrict(parts["kubeletconfig"], &config)
	if err != nil {
		log.Fatal(err)
	}
	if len(wrong) > 0 {
		log.Fatal(wrong)
	}
	if got, want := config.GroupVersionKind(), kubelet.SchemeGroupVersion.WithKind("KubeletConfiguration"); got != want {
		log.Fatalf("it is a %v, not a %v", got, want)
	}
	out, err := json.Marshal(config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
}
