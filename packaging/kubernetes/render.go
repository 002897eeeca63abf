// Renders the chart with its default values, as helm would with the release profd in the namespace profguard. It uses the
// template language of Go, which is Helm's; of the functions that Helm adds, the chart uses int64, since numbers of a file of
// values are floats, of which great ones would be written with an exponent.
//
//	go run packaging/kubernetes/render.go CHART VALUES.json > packaging/kubernetes/profd.yaml
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
)

func main() {
	values := map[string]any{}
	text, err := os.ReadFile(os.Args[2])
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	chart := template.New("profd.yaml").Option("missingkey=error").Funcs(template.FuncMap{"int64": toInt64})
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

// As Helm's function for numbers and texts of them.
func toInt64(value any) (int64, error) {
	switch value := value.(type) {
	case float64:
		return int64(value), nil
	case string:
		return strconv.ParseInt(value, 10, 64)
	}
	return 0, fmt.Errorf("int64: %v is not a number", value)
}
