//go:build !sesame_router

package sesame

type routerOfTheWorld = any
