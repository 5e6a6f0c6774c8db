package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestPresignedByTheCLI imports Urls that aws s3 presign prints, with every name
// under which the service is reached.
func TestPresignedByTheCLI(t *testing.T) {
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	cert, key := makeCertificate(t, dir)
	for name, flags := range map[string][]string{"http": nil, "https": {"--tls-cert", cert, "--tls-key", key}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, filepath.Join(dir, name), flags...)
			s.trust(t, cert)
			s.putImage(t, raw, "folder/a b.raw")
			t.Setenv("AWS_CA_BUNDLE", cert)
			for _, host := range []string{"127.0.0.1", "localhost"} {
				at := *s
				at.endpoint = strings.Replace(s.endpoint, "127.0.0.1", host, 1)
				at.importPresigned(t, raw)
			}
		})
	}
}

// importPresigned imports the object in bucket images.
func (s *service) importPresigned(t *testing.T, raw string) {
	t.Helper()
	url := s.aws(t, "s3", "presign", "s3://images/folder/a b.raw")
	if !strings.HasPrefix(url, s.endpoint+"/images/folder/a%20b.raw?X-Amz-") {
		t.Fatalf("aws s3 presign says %s", url)
	}
	task := s.aws(t, "ec2", "import-snapshot", "--disk-container", "Url="+url, "--query", "ImportTaskId")
	s.sameDisk(t, s.awaitTask(t, task), raw)
}

func TestPresignedUnderADomain(t *testing.T) {
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	s := start(t, filepath.Join(dir, "data"), "--domain", "disk.internal")
	s.putImage(t, raw, "disk.raw")
	port := s.endpoint[strings.LastIndexByte(s.endpoint, ':'):]
	named := s3.New(s3.Options{Region: region, Credentials: s.creds, BaseEndpoint: aws.String("http://disk.internal" + port)})
	signed, err := s3.NewPresignClient(named).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw")})
	if err != nil || !strings.HasPrefix(signed.URL, "http://images.disk.internal"+port+"/disk.raw?") {
		t.Fatalf("presigned %+v, %v", signed, err)
	}
	// The service recognises its own name and dials nothing: the name does not
	// resolve.
	task := s.aws(t, "ec2", "import-snapshot", "--disk-container", "Url="+signed.URL, "--query", "ImportTaskId")
	s.sameDisk(t, s.awaitTask(t, task), raw)
}
