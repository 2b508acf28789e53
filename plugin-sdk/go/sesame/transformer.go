//go:build sesame_transformer

package sesame

type transformerOfTheWorld = Transformer

//go:wasmexport sesame:plugin/transformer@{{contract}}#transform
func transform(message uint32) uint32 {
	defer reportPanic()
	transformed, err := served.Transform(messageAt(message))
	var lowered words
	switch {
	case transformed.Replace != nil:
		lowered = append(words{1}, output(transformed.Replace)...)
	case transformed.Split != nil:
		var parts words
		for _, part := range transformed.Split {
			parts = append(parts, output(&part.Output)...)
			parts = append(parts, some(part.Refused != nil))
			parts = append(parts, listOfFindings(part.Refused)...)
		}
		lowered = append(words{2}, list(parts, len(transformed.Split))...)
	case transformed.Drop != nil:
		lowered = append(words{3}, finding(transformed.Drop)...)
	default:
		lowered = words{0}
	}
	// The largest case of the verdict is a finding.
	lowered = append(lowered, make(words, 1+findingWords-len(lowered))...)
	return answer(append(lowered, listOfFindings(transformed.Findings)...), transformed.Findings, err)
}

func output(output *Output) words {
	made := append(bytes(output.Payload), optional(output.ContentType != "", output.ContentType)...)
	made = append(made, properties(output.Headers)...)
	return append(made, properties(nil)...)
}
