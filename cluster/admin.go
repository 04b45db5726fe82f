package cluster

import (
	"encoding/json"
	"errors"
	"net/http"
)

// AdminPrefix is where Handler expects to be mounted, on the operator's listener only: it asks for no credentials.
const AdminPrefix = "/api/v1/cluster/"

// NodeInfo is a node in the operator's list.
type NodeInfo struct {
	Member
	State string `json:"state"` // alive, suspect, lost, dead
	Self  bool   `json:"self,omitempty"`
}

// NodesReply answers GET nodes.
type NodesReply struct {
	Self     string     `json:"self"`
	Degraded bool       `json:"degraded"`
	Nodes    []NodeInfo `json:"nodes"`
}

// RoomsReply answers GET rooms.
type RoomsReply struct {
	Rooms []RoomInfo `json:"rooms"`
}

// Handler serves the cluster to operators, below AdminPrefix:
//
//	GET  nodes                all nodes, as this one sees them
//	GET  rooms                all rooms: owner, epoch, participants by node
//	POST nodes/{node}/drain   ask a node to empty itself; 202
//	POST nodes/{node}/forget  a dead or lost node does not come back: stop counting it; 204
//
// Errors are {"error": code, "message": text}.
func (c *Cluster) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+AdminPrefix+"nodes", func(w http.ResponseWriter, _ *http.Request) {
		reply := NodesReply{Self: c.cfg.Node, Degraded: c.Degraded(), Nodes: []NodeInfo{}}
		for _, m := range c.Members() {
			reply.Nodes = append(reply.Nodes, NodeInfo{m, m.State.String(), m.Self})
		}
		respond(w, http.StatusOK, reply)
	})
	mux.HandleFunc("GET "+AdminPrefix+"rooms", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, http.StatusOK, RoomsReply{c.Rooms()})
	})
	mux.HandleFunc("POST "+AdminPrefix+"nodes/{node}/drain", func(w http.ResponseWriter, r *http.Request) {
		done(w, http.StatusAccepted, c.RequestDrain(r.PathValue("node")))
	})
	mux.HandleFunc("POST "+AdminPrefix+"nodes/{node}/forget", func(w http.ResponseWriter, r *http.Request) {
		done(w, http.StatusNoContent, c.Forget(r.PathValue("node")))
	})
	return mux
}

// done answers a request without a result.
func done(w http.ResponseWriter, status int, err error) {
	switch {
	case err == nil:
		w.WriteHeader(status)
	case errors.Is(err, ErrNoNode):
		respond(w, http.StatusNotFound, map[string]string{"error": "no_such_node", "message": err.Error()})
	default:
		respond(w, http.StatusInternalServerError, map[string]string{"error": "internal", "message": err.Error()})
	}
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // the client's loss
}
