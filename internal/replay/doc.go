// Package replay runs recorded RTP audio through a neteq.NetEq in virtual time: packets with their arrival times in, sound,
// a log per 10 ms and a summary out. It reads the trace format of docs/neteq.md, pcap files and rtpdump files.
//
// It is a measuring tool: nothing in the server uses it. It opens no network connection, and decoders are given to it.
package replay
