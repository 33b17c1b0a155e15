package plugin

import (
	"context"
	"sync"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
)

// keeper keeps answers to the editor's questions for a short while, so that opening a list twice asks once. Safe for concurrent use.
type keeper struct {
	lock sync.Mutex
	kept map[string]keptValue
	now  func() time.Time
}

type keptValue struct {
	value any
	until time.Time
}

func newKeeper() *keeper { return &keeper{kept: map[string]keptValue{}, now: time.Now} }

// get returns what is kept under a key, or makes it. What could not be made is not kept. Two who ask at once may both make it.
func (k *keeper) get(key string, make func() (any, error)) (any, error) {
	k.lock.Lock()
	found, ok := k.kept[key]
	k.lock.Unlock()
	if ok && k.now().Before(found.until) {
		return found.value, nil
	}
	value, err := make()
	if err != nil {
		return nil, err
	}
	k.put(key, value)
	return value, nil
}

// put keeps a value anew, in the place of what is kept.
func (k *keeper) put(key string, value any) {
	k.lock.Lock()
	defer k.lock.Unlock()
	if len(k.kept) >= SuggestionKeep {
		clear(k.kept)
	}
	k.kept[key] = keptValue{value, k.now().Add(SuggestionAge)}
}

// asker begins the keys of what is kept: where users are told apart by whom the server answers (their own OAuth token or cookies go along), nobody is told
// what another one may see.
func (d *Datasource) asker(ctx context.Context) string {
	if !d.settings.OAuthPassThru && len(d.settings.KeepCookies) == 0 {
		return ""
	}
	login := ""
	if user := backend.UserFromContext(ctx); user != nil {
		login = user.Login
	}
	return login + "\x00"
}
