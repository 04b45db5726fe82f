// Command capacity measures how many participants a node carries: it starts bin/parley on one core, "parley load" on another,
// step by step until something breaks, and prints a table. "make bench-capacity" and "make bench-churn" run it.
//
// What a step costs is the server's processor time from /proc. That is meaningful on a busy machine too; gaps, lateness and
// delays are not. It refuses to judge: a step that fails ends its series, and is shown as the one that failed.
package main
