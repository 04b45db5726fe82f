// Package replay runs recorded RTP audio through a neteq.NetEq in virtual time: packets with their arrival times in; sound, a
// log per 10 ms, a summary and a report for people out. It reads the trace format of docs/neteq.md (CSV) and captures of
// plain RTP: pcap, pcapng and rtpdump.
//
// It is a measuring tool behind "parley neteq": nothing that hosts calls uses it. It opens no network connection, decrypts
// nothing (SRTP has to be recorded decrypted), is given its decoders, and does not judge sound: scores such as PESQ come from
// elsewhere and are shown when given.
package replay
