//go:build sesame_router

package sesame

type routerOfTheWorld = Router

//go:wasmexport sesame:plugin/router@{{contract}}#route
func route(message uint32) uint32 {
	defer reportPanic()
	routes, err := served.Route(messageAt(message))
	var names words
	for _, name := range routes {
		names = append(names, text(name)...)
	}
	return answer(list(names, len(routes)), nil, err)
}
