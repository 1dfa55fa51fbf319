package awsapi_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

const twoRegions = `<?xml version="1.0" encoding="UTF-8"?>
<DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><regionInfo>
<item><regionName>us-east-1</regionName><regionEndpoint>ec2.us-east-1.amazonaws.com</regionEndpoint><optInStatus>opt-in-not-required</optInStatus></item>
<item><regionName>af-south-1</regionName><regionEndpoint>ec2.af-south-1.amazonaws.com</regionEndpoint><optInStatus>opted-in</optInStatus></item>
<item><regionName>me-south-1</regionName><regionEndpoint>ec2.me-south-1.amazonaws.com</regionEndpoint><optInStatus>not-opted-in</optInStatus></item>
</regionInfo></DescribeRegionsResponse>`

func answerXML(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

func ec2Error(code string) string {
	return `<?xml version="1.0"?><Response><Errors><Error><Code>` + code + `</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>`
}

// What is sent is what EC2 expects, and what fails on the way is sent again.
func TestEC2IsAskedForRegions(t *testing.T) {
	left := 2
	f := newFake(t, func(w http.ResponseWriter, r request) {
		switch {
		case r.Service != "ec2":
			answerXML(w, http.StatusForbidden, ec2Error("UnauthorizedOperation"))
		case left > 0:
			left--
			answerXML(w, http.StatusServiceUnavailable, ec2Error([]string{"Unavailable", "RequestLimitExceeded"}[left]))
		default:
			answerXML(w, http.StatusOK, twoRegions)
		}
	})
	regions, err := open(t, f, func(c *awsapi.Config) { c.Region = "eu-west-3" }).Own().Regions(t.Context())
	if err != nil || !slices.Equal(regions, []string{"af-south-1", "us-east-1"}) {
		t.Fatalf("%q, %v", regions, err)
	}
	asked := f.requests()
	if len(asked) != 3 {
		t.Errorf("%d requests", len(asked))
	}
	for _, r := range asked {
		if r.Service != "ec2" || r.Region != "eu-west-3" || r.KeyID != "AKIDFAKE" || r.Path != "/" || r.Body != "Action=DescribeRegions&Version=2016-11-15" {
			t.Errorf("%+v", r)
		}
	}
}

func TestEC2SignsByTheServersClock(t *testing.T) {
	server := time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Second)
	f := newFake(t, func(w http.ResponseWriter, r request) {
		w.Header().Set("Date", server.Format(http.TimeFormat))
		if r.Service != "ec2" || server.Sub(r.SignedAt).Abs() > 5*time.Minute {
			answerXML(w, http.StatusUnauthorized, ec2Error("AuthFailure"))
			return
		}
		answerXML(w, http.StatusOK, twoRegions)
	})
	regions, err := open(t, f).Own().Regions(t.Context())
	if err != nil || len(regions) != 2 || len(f.requests()) != 2 {
		t.Errorf("%q, %v, %d requests", regions, err, len(f.requests()))
	}
}

// An answer without regions is none: nothing would be read, and nobody told.
func TestNoRegionIsNoAnswer(t *testing.T) {
	for what, text := range map[string]string{
		"empty":       `<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>`,
		"none of it":  `<html>welcome</html>`,
		"cut off":     twoRegions[:len(twoRegions)/2],
		"no document": "",
	} {
		f := newFake(t, func(w http.ResponseWriter, r request) {
			if r.Service == "ec2" {
				answerXML(w, http.StatusOK, text)
				return
			}
			answerJSON(w, map[string]any{"Regions": []any{}})
		})
		regions, err := open(t, f).Own().Regions(t.Context())
		if err == nil || len(regions) != 0 || !strings.Contains(err.Error(), "setting regions") || !strings.Contains(err.Error(), "lists no region") {
			t.Errorf("%s: %q, %v", what, regions, err)
		}
	}
}

// where notes the addresses that are asked, and answers none of them.
type where struct{ urls []string }

func (w *where) Do(r *http.Request) (*http.Response, error) {
	w.urls = append(w.urls, r.URL.String())
	return nil, fmt.Errorf("asked %s", r.URL)
}

// EC2 is found where the SDK finds it.
func TestEC2Endpoint(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nservices = own\n[services own]\nec2 =\n  endpoint_url = http://profile.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		region string
		env    map[string]string
		want   string
	}{
		{"eu-west-1", nil, "https://ec2.eu-west-1.amazonaws.com/"},
		{"us-gov-west-1", nil, "https://ec2.us-gov-west-1.amazonaws.com/"},
		{"cn-north-1", nil, "https://ec2.cn-north-1.amazonaws.com.cn/"},
		{"us-iso-east-1", nil, "https://ec2.us-iso-east-1.c2s.ic.gov/"},
		{"us-east-2", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://ec2-fips.us-east-2.amazonaws.com/"},
		{"us-gov-west-1", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://ec2.us-gov-west-1.amazonaws.com/"},
		{"eu-west-1", map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://ec2.eu-west-1.api.aws/"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL": "http://all.example:4566"}, "http://all.example:4566/"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL": "http://all.example", "AWS_ENDPOINT_URL_EC2": "http://ec2.example/path"}, "http://ec2.example/path"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL_EC2": "http://ec2.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "https://ec2.eu-west-1.amazonaws.com/"},
		{"eu-west-1", map[string]string{"AWS_CONFIG_FILE": profile}, "http://profile.example/"},
		{"eu-west-1", map[string]string{"AWS_CONFIG_FILE": profile, "AWS_ENDPOINT_URL": "http://env.example"}, "http://env.example/"},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			lonely(t)
			for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_PROFILE"} { // set to nothing isn't the same as not set
				if err := os.Unsetenv(name); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			w := &where{}
			s, err := awsapi.Open(t.Context(), awsapi.Config{Region: test.region, HTTPClient: w, Keys: &awsapi.Keys{AccessKeyID: "AKIDFAKE", SecretAccessKey: "secret"}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Own().Regions(t.Context()); err == nil {
				t.Error("no error")
			}
			if len(w.urls) == 0 || w.urls[0] != test.want {
				t.Errorf("asked %q, want %s", w.urls, test.want)
			}
		})
	}
}
