//go:build !sesame_transformer

package sesame

type transformerOfTheWorld = any
