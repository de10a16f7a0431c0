// otlpsink is the receiving end of OTLP/HTTP for tests: it takes traces in JSON, holds each request against
// OpenTelemetry's own schema (an unknown or mistyped field is an error of 400), and prints one line per span:
//
//	TRACE SPAN PARENT NAME START END
//
// ("-" for no parent). It listens on the address that it is given and ends with its standard input.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

func take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "expected a POST of application/json", http.StatusBadRequest)
		return
	}
	var request collector.ExportTraceServiceRequest
	if err := protojson.Unmarshal(body, &request); err != nil {
		log.Printf("refused: %v: %s", err, body)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				parent := "-"
				if len(span.ParentSpanId) > 0 {
					parent = fmt.Sprintf("%x", span.ParentSpanId)
				}
				fmt.Printf("%x %x %s %s %d %d\n", span.TraceId, span.SpanId, parent, span.Name,
					span.StartTimeUnixNano, span.EndTimeUnixNano)
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "{}")
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: otlpsink ADDRESS")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	http.HandleFunc("/v1/traces", take)
	log.Fatal(http.Serve(listener, nil))
}
