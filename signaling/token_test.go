package signaling
