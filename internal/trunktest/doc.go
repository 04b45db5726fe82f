// Package trunktest tests trunks together with what stands at their ends: mixers, NetEq and Opus on two nodes.
package trunktest
