//go:build !wasip1

package sesame

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCases runs the plugin outside WebAssembly, in `go test`, on each case in a folder, as `sesame plugin test` runs the
// component. The program sesame reads a case, says which functions to call and compares the answer (`sesame plugin case`);
// it is $SESAME, or found in PATH. Clock, random numbers, files and network are those of this machine here.
func TestCases(t *testing.T, folder string) {
	messages, err := filepath.Glob(filepath.Join(folder, "*", "message"))
	if err != nil || len(messages) == 0 {
		t.Fatalf("%s holds no case", folder)
	}
	for _, message := range messages {
		one := filepath.Dir(message)
		t.Run(filepath.Base(one), func(t *testing.T) {
			difference, err := runCase(one)
			if err != nil {
				t.Fatal(err)
			}
			if len(difference) > 0 {
				t.Errorf("\n%s", strings.Join(difference, "\n"))
			}
		})
	}
}

type question struct {
	Call    string
	Config  string
	Tables  map[string]map[string]pairs
	Message givenMessage
	Done    *[]string
}

type pairs [][2]string

type givenMessage struct {
	Context struct {
		Direction, Channel, Destination string
		MessageID                       string  `json:"message_id"`
		ContentType                     *string `json:"content_type"`
		Signer                          *struct {
			Subject, Issuer, Serial string
			NotAfter                int64 `json:"not_after"`
			Certificate             []uint16
			Properties              pairs
		}
		ReceivedAt       int64 `json:"received_at"`
		Attempt          uint32
		TransportHeaders pairs `json:"transport_headers"`
		Properties       pairs
	}
	Payload []uint16
}

func runCase(folder string) ([]string, error) {
	program := os.Getenv("SESAME")
	if program == "" {
		program = "sesame"
	}
	asked := exec.Command(program, "plugin", "case", folder)
	asked.Stderr = os.Stderr
	answers, err := asked.StdinPipe()
	if err != nil {
		return nil, err
	}
	questions, err := asked.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := asked.Start(); err != nil {
		return nil, fmt.Errorf("cannot run %s: put sesame into PATH, or its path into SESAME: %w", program, err)
	}
	defer asked.Wait()
	defer answers.Close()
	return converse(bufio.NewReader(questions), answers, folder)
}

func converse(questions *bufio.Reader, answers io.Writer, folder string) ([]string, error) {
	for {
		line, err := questions.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("sesame plugin case %s ended early, see what it wrote to standard error", folder)
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			return nil, err
		}
		if asked.Done != nil {
			return *asked.Done, nil
		}
		answer, err := json.Marshal(answerTo(&asked))
		if err != nil {
			return nil, err
		}
		if _, err := answers.Write(append(answer, '\n')); err != nil {
			return nil, err
		}
	}
}

type record map[string]any

func answerTo(asked *question) (answer record) {
	defer func() {
		if reason := recover(); reason != nil {
			answer = record{"error": record{"internal": fmt.Sprintf("panicked at %s: %v", panicPlace(), reason)}}
		}
	}()
	var ok any
	var findings []Finding
	var err error
	switch asked.Call {
	case "describe":
		return record{"ok": described()}
	case "init":
		grant(asked.Tables)
		if err := served.Init(Config(asked.Config)); err != nil {
			return record{"error": err.Error()}
		}
		return record{"ok": nil}
	case "validate":
		findings, err = any(served).(Validator).Validate(asked.Message.made())
		ok = recordsOf(findings)
	case "transform":
		var made Transformed
		made, err = any(served).(Transformer).Transform(asked.Message.made())
		findings, ok = made.Findings, made.record()
	default:
		var routes []string
		routes, err = any(served).(Router).Route(asked.Message.made())
		ok = append([]string{}, routes...)
	}
	if failure := failureOf(findings, err); failure != nil {
		return record{"error": failure}
	}
	return record{"ok": ok}
}

func grant(tables map[string]map[string]pairs) {
	Tables = map[string]map[string]Row{}
	for name, rows := range tables {
		Tables[name] = map[string]Row{}
		for key, row := range rows {
			Tables[name][key] = row.properties()
		}
	}
}

func described() record {
	roles := []string{}
	if _, has := any(served).(Validator); has {
		roles = append(roles, "validator")
	}
	if _, has := any(served).(Transformer); has {
		roles = append(roles, "transformer")
	}
	if _, has := any(served).(Router); has {
		roles = append(roles, "router")
	}
	made := record{"roles": roles}
	if schema := served.Describe().ConfigSchema; schema != "" {
		made["config_schema"] = schema
	}
	return made
}

// failureOf is the failure of the contract, if there is one.
func failureOf(findings []Finding, err error) record {
	retry, isRetry := retryOf(err)
	switch {
	case isRetry:
		made := record{"reason": retry.Reason}
		if retry.After > 0 {
			made["after"] = retry.After / time.Millisecond
		}
		return record{"retry": made}
	case err != nil:
		return record{"internal": err.Error()}
	}
	for _, finding := range findings {
		if finding.Severity == SeverityError {
			return record{"invalid": recordsOf(findings)}
		}
	}
	return nil
}

// panicPlace is where the plugin panicked; the runtime's own frames come before.
func panicPlace() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "runtime.") || !more {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
	}
}

func (given pairs) properties() Properties {
	var made Properties
	for _, pair := range given {
		made = append(made, Property{Name: pair[0], Value: pair[1]})
	}
	return made
}

func bytesOf(numbers []uint16) []byte {
	made := make([]byte, len(numbers))
	for index, number := range numbers {
		made[index] = byte(number)
	}
	return made
}

func (given *givenMessage) made() *Message {
	from := &given.Context
	context := Context{
		Direction: Outbound, MessageID: from.MessageID, Channel: from.Channel, Destination: from.Destination,
		ReceivedAt: time.UnixMilli(from.ReceivedAt).UTC(), Attempt: from.Attempt,
		TransportHeaders: from.TransportHeaders.properties(), Properties: from.Properties.properties(),
	}
	if from.Direction == "inbound" {
		context.Direction = Inbound
	}
	if from.ContentType != nil {
		context.ContentType = *from.ContentType
	}
	if signer := from.Signer; signer != nil {
		context.Signer = &Signer{
			Subject: signer.Subject, Issuer: signer.Issuer, Serial: signer.Serial,
			NotAfter:    time.Unix(signer.NotAfter, 0).UTC(),
			Certificate: bytesOf(signer.Certificate), Properties: signer.Properties.properties(),
		}
	}
	return &Message{Context: context, Payload: bytesOf(given.Payload)}
}

func (given *Finding) record() record {
	made := record{"severity": [...]string{"error", "warning", "info"}[given.Severity], "code": given.Code, "text": given.Text}
	if given.Record != 0 {
		made["record_number"] = given.Record
	}
	if given.Field != nil {
		made["field"] = *given.Field
	}
	if given.Value != nil {
		made["value"] = *given.Value
	}
	return made
}

func recordsOf(findings []Finding) []record {
	made := []record{}
	for index := range findings {
		made = append(made, findings[index].record())
	}
	return made
}

func (given *Output) record() record {
	headers := [][2]string{}
	for _, header := range given.Headers {
		headers = append(headers, [2]string{header.Name, header.Value})
	}
	numbers := make([]uint16, len(given.Payload))
	for index, one := range given.Payload {
		numbers[index] = uint16(one)
	}
	made := record{"payload": numbers, "set_headers": headers}
	if given.ContentType != "" {
		made["content_type"] = given.ContentType
	}
	return made
}

func (given *Transformed) record() record {
	made := record{"findings": recordsOf(given.Findings)}
	switch {
	case given.Replace != nil:
		made["verdict"] = record{"replaced": given.Replace.record()}
	case given.Split != nil:
		parts := []record{}
		for index := range given.Split {
			one := record{"content": given.Split[index].Output.record()}
			if given.Split[index].Refused != nil {
				one["refused"] = recordsOf(given.Split[index].Refused)
			}
			parts = append(parts, one)
		}
		made["verdict"] = record{"split": parts}
	case given.Drop != nil:
		made["verdict"] = record{"dropped": given.Drop.record()}
	}
	return made
}
