package main

import (
	_ "github.com/klauspost/compress/zstd"
)

func main() {}
