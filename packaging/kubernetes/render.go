// Renders the chart with its default values, as helm would with the release profd in the namespace profguard. It uses the
// template language of Go alone, which is Helm's; the chart uses none of the functions that Helm adds.
//
//	go run packaging/kubernetes/render.go CHART VALUES.json > packaging/kubernetes/profd.yaml
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

func main() {
	values := map[string]any{}
	text, err := os.ReadFile(os.Args[2])
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	chart := template.New("profd.yaml").Option("missingkey=error")
	if err == nil {
		chart, err = chart.ParseFiles(filepath.Join(os.Args[1], "templates", "profd.yaml"))
	}
	if err == nil {
		err = chart.Execute(os.Stdout, map[string]any{
			"Values":  values,
			"Release": map[string]string{"Name": "profd", "Namespace": "profguard"},
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(2)
	}
}
