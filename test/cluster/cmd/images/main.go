// Command images makes the test images, without a container engine, and pushes them.
//
//	images build --out DIR --programs DIR --agnhost FILE [--busybox FILE]
//	images build ... --conformance DIR --kubernetes DIR    the images of Kubernetes' own suite instead
//	images push --from DIR --to URL [--ca FILE] [--login USER:PASSWORD] [--prefix P/] [--only A,B:TAG]
//	images list --from DIR
//	images pack --to URL --name NAME:TAG [--entrypoint PATH] SOURCE[=DEST]...
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"burstlet.io/test/cluster/internal/oci"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("verb build, push, list or pack expected")
	}
	switch verb, args := args[0], args[1:]; verb {
	case "build":
		return build(args)
	case "push":
		return push(args)
	case "list":
		return list(args)
	case "pack":
		return pack(args)
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
}

func build(args []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	out := flags.String("out", "", "folder for blobs and images.json")
	var in inputs
	flags.StringVar(&in.programs, "programs", "", "folder with the static programs of test/images")
	flags.StringVar(&in.agnhost, "agnhost", "", "agnhost, static")
	flags.StringVar(&in.busybox, "busybox", "/bin/busybox", "busybox, static")
	flags.StringVar(&in.conformance, "conformance", "", "folder with the programs of"+
		" test/addons/conformance: make the images of Kubernetes' own suite instead")
	flags.StringVar(&in.kubernetes, "kubernetes", "", "Kubernetes' source tree, for --conformance")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" || in.programs == "" || in.agnhost == "" {
		return fmt.Errorf("--out, --programs and --agnhost are needed")
	}
	if (in.conformance == "") != (in.kubernetes == "") {
		return fmt.Errorf("--conformance and --kubernetes go together")
	}
	make := makeAll
	if in.conformance != "" {
		make = makeConformance
	}
	store := &oci.Store{Dir: *out}
	images, err := make(store, in)
	if err != nil {
		return err
	}
	return store.SaveList(images)
}

func push(args []string) error {
	flags := flag.NewFlagSet("push", flag.ContinueOnError)
	from := flags.String("from", "", "folder that build wrote")
	to := flags.String("to", "", "http:// or https:// address of a registry")
	ca := flags.String("ca", "", "authority of the registry's certificate")
	login := flags.String("login", "", "USER:PASSWORD")
	prefix := flags.String("prefix", "", "put before every name")
	only := flags.String("only", "", "names, or NAME:TAG, comma-separated; default all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	store := &oci.Store{Dir: *from}
	images, err := store.List()
	if err != nil {
		return err
	}
	registry, err := oci.NewRegistry(*to, *ca, *login)
	if err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	pushed := 0
	for _, image := range images {
		full := image.Name + ":" + image.Tag
		if *only != "" && !slices.Contains(wanted, image.Name) && !slices.Contains(wanted, full) {
			continue
		}
		if err := registry.Push(store, image, *prefix+image.Name); err != nil {
			return err
		}
		pushed++
	}
	if pushed == 0 {
		return fmt.Errorf("no image named %s", *only)
	}
	return nil
}

func list(args []string) error {
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	from := flags.String("from", "", "folder that build wrote")
	if err := flags.Parse(args); err != nil {
		return err
	}
	images, err := (&oci.Store{Dir: *from}).List()
	if err != nil {
		return err
	}
	for _, image := range images {
		fmt.Printf("%s:%s %s %s\n", image.Name, image.Tag, image.Top.Digest, image.Top.MediaType)
	}
	return nil
}
