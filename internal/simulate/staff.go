package simulate

import "fmt"

var firstNames = []string{
	"Amara", "Benedikt", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hamza", "Ingrid", "Jonas",
	"Keiko", "Lukas", "Mireille", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Sven", "Tomasz",
	"Ulrike", "Vikram", "Wanda", "Xenia", "Yusuf", "Zofia", "Anneke", "Bruno", "Camille", "Diego",
}

var lastNames = []string{
	"Abara", "Brandt", "Conti", "Dvorak", "Eriksen", "Fischer", "Garcia", "Hughes", "Ivanova", "Jensen",
	"Kowalski", "Laurent", "Moreau", "Nakamura", "Olsen", "Petrov", "Quist", "Rossi", "Santos", "Tanaka",
	"Ueda", "Virtanen", "Weber", "Xu", "Yilmaz", "Zimmer", "Almeida", "Bakker", "Costa", "Duarte", "Ekholm",
}

var browsers = []string{
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
	"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
}

var cliAgents = []string{
	"aws-cli/2.31.18 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.7 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off",
	"aws-cli/2.28.4 md/awscrt#0.26.1 ua/2.1 os/linux#6.8.0-79-generic md/arch#x86_64 lang/python#3.13.4 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off",
	"aws-cli/2.17.40 md/awscrt#0.21.2 ua/2.0 os/windows#10 md/arch#amd64 lang/python#3.11.9 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off",
}

const (
	boto3Agent     = "Boto3/1.40.52 md/Botocore#1.40.52 ua/2.1 os/linux#6.1.147-172.266.amzn2023.x86_64 md/arch#x86_64 lang/python#3.12.11 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.40.52"
	lambdaAgent    = "Boto3/1.40.4 md/Botocore#1.40.4 ua/2.1 os/linux#5.10.240 md/arch#x86_64 lang/python#3.13.5 md/pyimpl#CPython exec-env/AWS_Lambda_python3.13 cfg/retry-mode#legacy Botocore/1.40.4"
	goAgent        = "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.1 md/GOOS#linux md/GOARCH#arm64 api/s3#1.88.3 m/E,g"
	javaAgent      = "aws-sdk-java/2.33.8 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1.147 lang/java#21.0.8 md/OpenJDK_64-Bit_Server_VM#21.0.8+9-LTS md/vendor#Amazon.com_Inc. m/D,N"
	terraformAgent = "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 (+https://www.terraform.io) terraform-provider-aws/6.14.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.24.6 md/GOOS#linux md/GOARCH#amd64 api/iam#1.47.6"
	actionsAgent   = "aws-sdk-js/3.887.0 ua/2.1 os/linux#6.11.0-1018-azure lang/js md/nodejs#20.19.5 api/sts#3.887.0 configure-aws-credentials-for-github-actions"
	scannerAgent   = "CloudPostureScanner/7.4.1 aws-sdk-go-v2/1.38.0 ua/2.1 os/linux lang/go#1.24.5 md/GOOS#linux md/GOARCH#amd64"
	oldBoto3Agent  = "Boto3/1.26.90 Python/3.8.16 Linux/4.14.305-227.531.amzn2.x86_64 Botocore/1.29.90"
)

// headcount grows with the world: 10 people for 24,000 records, 40 for 200,000,
// 140 for ten million.
func (w *World) headcount() int {
	return max(8, min(6+w.cfg.Events/6000, 40)) + w.cfg.Events/100_000
}

// The people that stories are about, by their place in World.people. All of
// them also do ordinary work.
const (
	platformLead = iota // administers the organisation
	securityLead        // administers access
	onCaller            // takes the nights
	auditor             // reads
	samlUser            // comes by the old SAML provider
	firstDeveloper
)

// joiners is the number of the first person that a story hires; staff have lower
// ones, unless a world is larger than 80 million records.
const joiners = 850

func (w *World) hire() {
	r := w.entity("people")
	for i := range w.headcount() {
		p := w.newPerson(i)
		switch {
		case i == platformLead || i == securityLead:
			p.grants = w.everywhere("AdministratorAccess")
		case i == onCaller:
			p.grants = []grant{{production, w.set("OnCallOperator")}, {production, w.set("ReadOnlyAccess")}, {development, w.set("DeveloperAccess")}}
		case i == auditor:
			p.grants = append(w.everywhere("ReadOnlyAccess"), grant{management, w.set("BillingAccess")})
		case i == samlUser || i%17 == 16:
			p.saml = true
		default:
			p.grants = []grant{{development, w.set("DeveloperAccess")}, {production, w.set("ReadOnlyAccess")}}
			if len(w.accounts) > 3 {
				p.grants = append(p.grants, grant{uint8(3 + r.intn(len(w.accounts)-3)), w.set("DeveloperAccess")})
			}
		}
		w.people = append(w.people, p)
	}
}

// newPerson makes the i-th person; joiners get numbers after the staff's.
func (w *World) newPerson(i int) *person {
	r := w.entity("person", fmt.Sprint(i))
	// 30 and 31 have no common divisor, so names repeat only after 930 people.
	shift := w.entity("names").intn(930)
	first, last := firstNames[(i+shift)%len(firstNames)], lastNames[(i*7+shift)%len(lastNames)]
	user := lower(first) + "." + lower(last)
	if i >= 930 {
		user = fmt.Sprintf("%s%d", user, i/930+1)
	}
	p := &person{
		name: first + " " + last, userName: user, email: user + "@" + mailDomain,
		userID:       r.newUUID().String(),
		credentialID: r.text(lowerHex, 32) + "-" + r.text(lowerHex, 24),
		homeIP:       fmt.Sprintf("198.51.100.%d", 2+i%250),
		officeIP:     fmt.Sprintf("192.0.2.%d", 4+i%4),
		browser:      pick(r, browsers), cli: pick(r, cliAgents),
	}
	if i%4 == 3 {
		p.homeIP = fmt.Sprintf("2001:db8:%x:%x::%x", 16+i, r.intn(1<<16), 2+r.intn(1<<12))
	}
	return p
}

func lower(s string) string {
	b := []byte(s)
	b[0] |= 0x20
	return string(b)
}

func (w *World) everywhere(set string) []grant {
	var g []grant
	for i := range w.accounts {
		g = append(g, grant{uint8(i), w.set(set)})
	}
	return g
}

// ipOn says where a person works on a day: at the office from Tuesday to
// Thursday, else at home.
func (p *person) ipOn(at int64) string {
	switch weekday(at) {
	case 2, 3, 4:
		return p.officeIP
	}
	return p.homeIP
}

// exitIP is one of the workloads' NAT addresses.
func exitIP(i int) string { return fmt.Sprintf("192.0.2.%d", 130+i%120) }

func (w *World) anyRegion(r *rng) uint8 { return w.active[r.intn(len(w.active))] }

// employ makes the workloads.
func (w *World) employ() {
	scale := w.cfg.Events / 50_000
	w.scanner = &scanner{ip: "192.0.2.250"}
	for i, a := range w.accounts {
		r := w.entity("workloads", a.id)
		acct := uint8(i)
		w.scanner.roles = append(w.scanner.roles, w.role(acct, "/", "CloudPostureScanner"))
		// All roles are made before planning begins, which only reads them.
		for _, k := range serviceKinds {
			w.role(acct, k.path, k.role)
		}
		for _, name := range []string{"shared-reader", "ops-readonly", "ADFS-Engineer"} {
			w.role(acct, "/", name)
		}
		for n := range 4 + min(scale, 150) {
			kind := pick(r, instanceKinds)
			a.instances = append(a.instances, &instance{
				id: "i-0" + r.text(lowerHex, 16), ip: exitIP(i*7 + n/4), region: w.anyRegion(r),
				role: w.role(acct, "/", kind.role), calls: kind.calls,
			})
		}
		for n := range 4 + min(scale, 150) {
			kind := pick(r, functionKinds)
			a.functions = append(a.functions, &function{
				name: fmt.Sprintf("%s-%d", kind.name, n), region: w.anyRegion(r),
				role: w.role(acct, "/service-role/", kind.name+"-role"), calls: kind.calls,
			})
		}
		for n := range 2 + min(scale, 60) {
			repo := pick(r, []string{"shop", "infra", "billing", "search", "data", "mobile-api"})
			if n >= 2 {
				repo = fmt.Sprintf("%s-%d", repo, n)
			}
			pl := &pipeline{
				repo: "example-org/" + repo, branch: pick(r, []string{"main", "main", "release"}),
				role: w.role(acct, "/ci/", "github-"+repo), region: w.anyRegion(r),
				agent: pick(r, []string{terraformAgent, goAgent, boto3Agent}), ip: exitIP(60 + n),
			}
			if i == management {
				// Infrastructure code is run from here, through the shared
				// deployment role, into the account at the end of the chain.
				pl.chain = []*role{w.role(production, "/ci/", "deploy-hub"), w.role(development, "/ci/", "deploy-target")}
				pl.agent = terraformAgent
			}
			a.pipelines = append(a.pipelines, pl)
		}
	}
	w.enlist()
}

// enlist makes the IAM users of the background: robots with access keys, and a
// few people who never moved to Identity Center.
func (w *World) enlist() {
	for i, a := range w.accounts {
		r := w.entity("users", a.id)
		names := []string{"svc-backup", "svc-metrics"}
		if i == management {
			names = append(names, "vpn-operator", "token-broker")
		}
		for n := range min(w.cfg.Events/250_000, 40) {
			names = append(names, fmt.Sprintf("svc-partner-%02d", n+1))
		}
		for n, name := range names {
			u := w.user(uint8(i), name)
			u.ip, u.agent, u.calls, u.region = exitIP(90+n), pick(r, []string{oldBoto3Agent, boto3Agent, javaAgent}), robotCalls, w.anyRegion(r)
			switch name {
			case "vpn-operator":
				u.ip, u.browser, u.agent, u.calls = "198.51.100.253", browsers[2], cliAgents[1], readerCalls
			case "token-broker":
				u.federates = true
			}
			a.users = append(a.users, u)
		}
	}
}
