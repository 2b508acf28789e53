//go:build wasip1

package sesame

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// What the functions of a component take and return lies in memory as the component model's canonical ABI lays it out.
// Everything in the contract is made of words of four bytes, so that a value is a slice of words here, and an address is a
// word. What a function is given lies in memory of `sesame plugin build`, which is no heap of Go.
type words []uint32

// findingWords is the size of a finding.
const findingWords = 15

// kept holds what only an address refers to, until the instance ends.
var kept []unsafe.Pointer

// end and limit are where the runtime takes its next memory, and up to where it has it already.
//
//go:linkname end runtime.bloc
var end uintptr

//go:linkname limit runtime.blocMax
var limit uintptr

// space holds the first arguments, and what the adapter of WASI needs before the runtime has begun.
var space [256 << 10]byte

// places says where these are: `sesame plugin build` finds the mark, and writes the function that the host asks for memory
// for arguments. It takes what is not in space as the runtime does, which must not notice. A function in Go cannot do it: the
// host would stop it when the runtime looks at its clock.
var places = struct {
	mark       [16]byte
	end, limit *uintptr
	space      *byte
	size       uintptr
}{
	mark:  [16]byte{'s', 'e', 's', 'a', 'm', 'e', 0, 'm', 'e', 'm', 'o', 'r', 'y', 0, 1, 255},
	end:   &end,
	limit: &limit,
	space: &space[0],
	size:  uintptr(len(space)),
}

func address(pointer unsafe.Pointer) uint32 {
	kept = append(kept, pointer)
	return uint32(uintptr(pointer))
}

//go:wasmimport sesame:plugin/log@{{contract}} write
func importedWrite(level uint32, text string)

func writeLog(level Level, text string) {
	importedWrite(uint32(level), text)
}

//go:wasmimport sesame:plugin/tables@1.1.0 get
func importedGet(table, key string, result unsafe.Pointer)

func lookup(table, key string) (Row, bool, error) {
	// Whether it failed; then the error, or whether there is a row and where.
	answer := make(words, 4)
	importedGet(table, key, unsafe.Pointer(&answer[0]))
	if answer[0]&0xff != 0 {
		return nil, false, errors.New(textAt(answer[1:]))
	}
	if answer[1]&0xff == 0 {
		return nil, false, nil
	}
	return propertiesAt(answer[2:]), true, nil
}

//go:wasmexport sesame:plugin/lifecycle@{{contract}}#describe
func describe() uint32 {
	defer reportPanic()
	// Without a use the linker leaves it out.
	kept = append(kept, unsafe.Pointer(&places))
	if served == nil {
		panic("no plugin is served: call sesame.Serve in a function init of the main package")
	}
	described := served.Describe()
	functions := make([]string, 0, 3)
	plugin := any(served)
	if _, has := plugin.(Validator); has {
		functions = append(functions, "validate")
	}
	if _, has := plugin.(Transformer); has {
		functions = append(functions, "transform")
	}
	if _, has := plugin.(Router); has {
		functions = append(functions, "route")
	}
	made := append(text(described.Name), text(described.Version)...)
	made = append(made, text(described.Summary)...)
	made = append(made, optional(described.ConfigSchema != "", described.ConfigSchema)...)
	// What `sesame plugin build` compares with the roles of the world.
	made = append(made, properties(Properties{Property{Name: "functions", Value: strings.Join(functions, " ")}})...)
	return result(made)
}

//go:wasmexport sesame:plugin/lifecycle@{{contract}}#init
func initialise(config, length uint32) uint32 {
	defer reportPanic()
	if err := served.Init(Config(bytesAt(config, length))); err != nil {
		return result(append(words{1}, text(err.Error())...))
	}
	return result(words{0, 0, 0})
}

// answer is the result of a function of a role, with `ok` if nothing is wrong.
func answer(ok words, findings []Finding, err error) uint32 {
	retry, isRetry := retryOf(err)
	switch {
	case isRetry:
		after := uint32(min(max(retry.After/time.Millisecond, 0), math.MaxUint32))
		return result(append(words{1, 1, some(after > 0), after}, text(retry.Reason)...))
	case err != nil:
		return result(append(words{1, 2}, text(err.Error())...))
	}
	for _, finding := range findings {
		if finding.Severity == SeverityError {
			return result(append(words{1, 0}, listOfFindings(findings)...))
		}
	}
	return result(append(words{0}, ok...))
}

// result is the address of a result; the largest one has 19 words.
func result(made words) uint32 {
	whole := make(words, 19)
	copy(whole, made)
	return address(unsafe.Pointer(&whole[0]))
}

func some(given bool) uint32 {
	if given {
		return 1
	}
	return 0
}

func text(text string) words {
	text = strings.ToValidUTF8(text, "\ufffd")
	return words{address(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

func bytes(bytes []byte) words {
	return words{address(unsafe.Pointer(unsafe.SliceData(bytes))), uint32(len(bytes))}
}

func optional(given bool, value string) words {
	return append(words{some(given)}, text(value)...)
}

func list(elements words, count int) words {
	return words{address(unsafe.Pointer(unsafe.SliceData(elements))), uint32(count)}
}

func properties(given Properties) words {
	var pairs words
	for _, property := range given {
		pairs = append(append(pairs, text(property.Name)...), text(property.Value)...)
	}
	return list(pairs, len(given))
}

func finding(given *Finding) words {
	made := append(words{uint32(given.Severity)}, text(given.Code)...)
	made = append(made, text(given.Text)...)
	made = append(made, some(given.Record != 0), given.Record)
	for _, value := range []*string{given.Field, given.Value} {
		if value == nil {
			made = append(made, 0, 0, 0)
		} else {
			made = append(made, optional(true, *value)...)
		}
	}
	return append(made, properties(nil)...)
}

func listOfFindings(given []Finding) words {
	var made words
	for index := range given {
		made = append(made, finding(&given[index])...)
	}
	return list(made, len(given))
}

// messageAt reads the one argument of a function of a role.
func messageAt(address uint32) *Message {
	given := wordsAt(address, 34)
	context := Context{
		Direction:        Direction(given[0] & 0xff),
		MessageID:        textAt(given[1:]),
		Channel:          textAt(given[3:]),
		Destination:      textAt(given[5:]),
		ReceivedAt:       time.UnixMilli(int64(long(given[24:]))).UTC(),
		Attempt:          given[26],
		TransportHeaders: propertiesAt(given[27:]),
		Properties:       propertiesAt(given[29:]),
	}
	if given[7]&0xff != 0 {
		context.ContentType = textAt(given[8:])
	}
	if given[10]&0xff != 0 {
		context.Signer = &Signer{
			Subject:     textAt(given[12:]),
			Issuer:      textAt(given[14:]),
			Serial:      textAt(given[16:]),
			NotAfter:    time.Unix(int64(long(given[18:])), 0).UTC(),
			Certificate: bytesAt(given[20], given[21]),
			Properties:  propertiesAt(given[22:]),
		}
	}
	return &Message{Context: context, Payload: bytesAt(given[32], given[33])}
}

func long(given words) uint64 {
	return uint64(given[1])<<32 | uint64(given[0])
}

func wordsAt(address, count uint32) words {
	return unsafe.Slice((*uint32)(unsafe.Pointer(uintptr(address))), count)
}

func bytesAt(address, length uint32) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(address))), length)
}

func textAt(given words) string {
	return string(bytesAt(given[0], given[1]))
}

func propertiesAt(given words) Properties {
	if given[1] == 0 {
		return nil
	}
	read := make(Properties, given[1])
	pairs := wordsAt(given[0], 4*given[1])
	for index := range read {
		pair := pairs[4*index:]
		read[index] = Property{Name: textAt(pair), Value: textAt(pair[2:])}
	}
	return read
}

// reportPanic writes what a panic says and where it was raised, in one line, and ends the instance.
func reportPanic() {
	reason := recover()
	if reason == nil {
		return
	}
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		// A panic of the language passes through the runtime first.
		if !strings.HasPrefix(frame.Function, "runtime.") {
			_, file, _ := strings.Cut(frame.File, "/")
			fmt.Fprintf(os.Stderr, "panicked at %s:%d:\n%v\n", file, frame.Line, reason)
			os.Exit(2)
		}
		if !more {
			panic(reason)
		}
	}
}
