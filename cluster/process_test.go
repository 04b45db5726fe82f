package cluster

// helperProcess is a stand-in until the process tests are here.
func helperProcess() {}
