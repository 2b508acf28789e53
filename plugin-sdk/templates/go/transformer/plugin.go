// Gives a site that was renamed its new name.
package main

import (
	"errors"
	"strings"

	"{{name}}/sesame"
)

type plugin struct {
	Old, New string
}

func init() {
	sesame.Serve(&plugin{})
}

func main() {}

func (plugin *plugin) Describe() sesame.Description {
	return sesame.Description{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Gives a site that was renamed its new name.",
		ConfigSchema: `{"type": "object", "required": ["old", "new"], "additionalProperties": false,
			"properties": {"old": {"type": "string"}, "new": {"type": "string"}}}`,
	}
}

func (plugin *plugin) Init(config sesame.Config) error {
	if err := config.Decode(plugin); err != nil {
		return err
	}
	if plugin.Old == "" || plugin.New == "" {
		return errors.New("name the site in `old` and `new`")
	}
	return nil
}

// Transform leaves a message without the old name as it is.
func (plugin *plugin) Transform(message *sesame.Message) (sesame.Transformed, error) {
	lines := strings.Split(string(message.Payload), "\n")
	renamed := false
	for index, line := range lines {
		if line == "Site: "+plugin.Old {
			lines[index] = "Site: " + plugin.New
			renamed = true
		}
	}
	if !renamed {
		return sesame.Transformed{}, nil
	}
	content := []byte(strings.Join(lines, "\n"))
	return sesame.Transformed{Replace: &sesame.Output{Payload: content}}, nil
}
