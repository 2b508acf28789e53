//go:build sesame_validator

package sesame

type validatorOfTheWorld = Validator

//go:wasmexport sesame:plugin/validator@{{contract}}#validate
func validate(message uint32) uint32 {
	defer reportPanic()
	findings, err := served.Validate(messageAt(message))
	return answer(listOfFindings(findings), findings, err)
}
