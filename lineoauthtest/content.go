package lineoauthtest

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxProfiles     = 1000
	maxProfileText  = 1000 // bytes of each field
	maxContents     = 100
	maxContentBytes = 16 << 20 // of all contents together
)

// Profile is what GET /v2/bot/profile/{userId} returns.
//
// https://developers.line.biz/en/reference/messaging-api/#get-profile
type Profile struct {
	// UserID is the user's ID.
	UserID string `json:"userId"`
	// DisplayName is the user's name.
	DisplayName string `json:"displayName"`
	// PictureURL is the URL of the user's picture. It may be empty, as may what
	// follows.
	PictureURL string `json:"pictureUrl,omitempty"`
	// StatusMessage is the user's status message.
	StatusMessage string `json:"statusMessage,omitempty"`
	// Language is a BCP 47 tag, such as ja.
	Language string `json:"language,omitempty"`
}

// SetProfile sets a user's profile. For an empty DisplayName the user is not found,
// like one who has not added the bot. Other users have a generated profile. The error
// reports that the UserID is empty, a field is longer than 1,000 bytes, or 1,000
// profiles are set already.
func (s *Server) SetProfile(p Profile) error {
	if p.UserID == "" {
		return errors.New("lineoauthtest: the profile's userId is empty; set it")
	}
	for _, text := range []string{p.UserID, p.DisplayName, p.PictureURL, p.StatusMessage, p.Language} {
		if len(text) > maxProfileText {
			return fmt.Errorf("lineoauthtest: a field of the profile is longer than %d bytes; shorten it", maxProfileText)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.profiles[p.UserID]; !there && len(s.profiles) >= maxProfiles {
		return fmt.Errorf("lineoauthtest: %d profiles are already set; reset the emulator first", maxProfiles)
	}
	s.profiles[p.UserID] = p
	return nil
}

func (s *Server) getProfile(w http.ResponseWriter, r *http.Request) {
	s.answer(w, nil, func() (any, *refusal) {
		if _, bad := s.bearer(r); bad != nil {
			return nil, bad
		}
		id := r.PathValue("userId")
		p, set := s.profiles[id]
		switch {
		case !set && strings.HasPrefix(id, "U"):
			p = Profile{UserID: id, DisplayName: "Emulated user " + id[:min(len(id), 6)]}
		case p.DisplayName == "":
			return nil, notFound()
		}
		return p, nil
	})
}

func notFound() *refusal { return messageRefusal(http.StatusNotFound, "Not found") }

type content struct {
	mediaType string
	data      []byte
}

// pixel is the default content of a message: a picture.
var pixel = content{"image/png", func() []byte {
	data, _ := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
	return data
}()}

// SetContent sets what GET /v2/bot/message/{messageId}/content returns for a message
// that a user sent. An empty contentType means application/octet-stream; for empty data
// the content is not found, as after the user unsent the message. Other messages
// contain a picture of one pixel. The error reports that the messageID is empty, the
// type is not a media type, or there would be more than 100 contents or 16 MiB.
//
// https://developers.line.biz/en/reference/messaging-api/#get-content
func (s *Server) SetContent(messageID, contentType string, data []byte) error {
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	if _, _, err := mime.ParseMediaType(contentType); err != nil || messageID == "" || len(messageID) > maxProfileText || len(contentType) > maxProfileText {
		return errors.New("lineoauthtest: the message's ID is empty or its content type is invalid; use a type such as image/png")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := len(data)
	for id, c := range s.contents {
		if id != messageID {
			size += len(c.data)
		}
	}
	if _, there := s.contents[messageID]; !there && len(s.contents) >= maxContents || size > maxContentBytes {
		return fmt.Errorf("lineoauthtest: too much content: the emulator keeps %d contents, of %d bytes in total; reset it first", maxContents, maxContentBytes)
	}
	s.contents[messageID] = content{contentType, slices.Clone(data)}
	return nil
}

func (s *Server) getContent(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	_, bad := s.bearer(r)
	c, set := s.contents[r.PathValue("messageId")]
	s.mu.Unlock()
	switch {
	case bad != nil:
		bad.write(w)
		return
	case !set:
		c = pixel
	case len(c.data) == 0:
		notFound().write(w)
		return
	}
	w.Header().Set("Content-Type", c.mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(c.data)))
	_, _ = w.Write(c.data) // the client may have disconnected
}

// messageID returns an ID in LINE's format: 18 digits.
func messageID() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(9e17)) // never fails
	return strconv.FormatInt(1e17+n.Int64(), 10)
}
