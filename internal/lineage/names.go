package lineage

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Sources of names that come before Learned ones, the first before the second.
const (
	Given     = "file"          // of the user's
	Directory = "identitystore" // AWS's, as it was when it was asked
)

// ReadNames reads how users of Identity Center are called, from a file of one of
// these forms, told by its content:
//
//   - CSV with a header line that has the columns identity_store_id, user_id and
//     name, in any order, others beside them;
//   - JSON as `aws identitystore list-users` prints it: {"Users":[{"UserId",
//     "IdentityStoreId", "UserName" or "DisplayName"}]}, or the list alone;
//   - JSON with names by identity store and user id: {"d-1234567890":{"ID":"NAME"}}.
//
// The identity store is given by its id or ARN; user ids are unique in one store
// only. Errors name the file and the line or entry.
func ReadNames(path string) ([]Name, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the names of users: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var names []Name
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		names, err = jsonNames(text)
	} else {
		names, err = csvNames(data)
	}
	if err == nil && len(names) == 0 {
		err = errors.New("it has no names")
	}
	if err != nil {
		return nil, fmt.Errorf("read the names of users in %s: %w", path, err)
	}
	return names, nil
}

// given checks one entry.
func given(store, user, name string) (Name, error) {
	store, user, name = strings.TrimSpace(store), strings.TrimSpace(user), strings.TrimSpace(name)
	switch {
	case store == "":
		return Name{}, errors.New("the id of the identity store (d-…) is missing")
	case user == "":
		return Name{}, errors.New("the user's id is missing")
	case name == "":
		return Name{}, errors.New("the name is missing")
	}
	return Name{Node: UserNode(store, user), Name: name, Source: Given}, nil
}

func csvNames(data []byte) ([]Name, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at := map[string]int{"identity_store_id": -1, "user_id": -1, "name": -1}
	for i, column := range head {
		if _, ok := at[strings.ToLower(strings.TrimSpace(column))]; ok {
			at[strings.ToLower(strings.TrimSpace(column))] = i
		}
	}
	for _, column := range []string{"identity_store_id", "user_id", "name"} {
		if at[column] < 0 {
			return nil, fmt.Errorf("line 1: no column %s: the first line names the columns identity_store_id, user_id and name", column)
		}
	}
	var names []Name
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		n, err := given(row[at["identity_store_id"]], row[at["user_id"]], row[at["name"]])
		if err != nil {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		names = append(names, n)
	}
}

// storeUser is a user as the Identity Store API describes one (IdentityStore API
// Reference, User).
type storeUser struct{ UserID, IdentityStoreID, UserName, DisplayName string } // json ignores case

func jsonNames(data []byte) ([]Name, error) {
	var users []storeUser
	var byStore map[string]map[string]string
	if data[0] == '[' {
		if err := json.Unmarshal(data, &users); err != nil {
			return nil, err
		}
	} else {
		var listed struct{ Users []storeUser }
		if err := json.Unmarshal(data, &listed); err == nil && listed.Users != nil {
			users = listed.Users
		} else if err := json.Unmarshal(data, &byStore); err != nil {
			return nil, fmt.Errorf(`%w: it must be what "aws identitystore list-users" prints, or {"IDENTITY-STORE-ID":{"USER-ID":"NAME"}}`, err)
		}
	}
	var names []Name
	for i, u := range users {
		n, err := given(u.IdentityStoreID, u.UserID, first(u.UserName, u.DisplayName))
		if err != nil {
			return nil, fmt.Errorf("user %d: %w", i+1, err)
		}
		names = append(names, n)
	}
	for store, users := range byStore {
		for id, name := range users {
			n, err := given(store, id, name)
			if err != nil {
				return nil, fmt.Errorf("identity store %q, user %q: %w", store, id, err)
			}
			names = append(names, n)
		}
	}
	return names, nil
}

// Replace returns what to record so that the given names are those in now, where
// before they were those in before: names that are gone become empty.
func Replace(before, now []Name, ms int64) []Name {
	have := make(map[string]string, len(now))
	for _, n := range now {
		have[n.Node] = n.Name
	}
	var out []Name
	put := func(node, name string) {
		out = append(out, Name{Node: node, Name: name, Source: Given, First: ms, Last: ms})
	}
	was := make(map[string]string, len(before))
	for _, n := range before {
		was[n.Node] = n.Name
		if _, ok := have[n.Node]; !ok {
			put(n.Node, "")
		}
	}
	for node, name := range have {
		if was[node] != name {
			put(node, name)
		}
	}
	return out
}
