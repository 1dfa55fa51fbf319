package event

import "time"

// parseTime reads eventTime: RFC 3339 with any offset and fraction, or
// `2006-01-02 15:04:05` with or without fraction, which some exports use for
// UTC. It returns milliseconds since the epoch, finer fractions cut off.
// Nothing is guessed: any other form is refused.
func parseTime[T string | []byte](s T) (ms int64, ok bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	spaced := s[10] == ' '
	if !spaced && s[10] != 'T' && s[10] != 't' {
		return 0, false
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	i, milli := 19, 0
	if i < len(s) && s[i] == '.' {
		i++
		scale, n := 100, 0
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			milli += scale * int(s[i]-'0')
			scale /= 10
			n++
		}
		if n == 0 {
			return 0, false
		}
	}
	offset := 0 // minutes
	switch rest := s[i:]; {
	case len(rest) == 0:
		if !spaced {
			return 0, false
		}
	case len(rest) == 1 && (rest[0] == 'Z' || rest[0] == 'z'):
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := digits(rest[1:3]), digits(rest[4:6])
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return 0, false
		}
		offset = h*60 + m
		if rest[0] == '-' {
			offset = -offset
		}
	default:
		return 0, false
	}
	secs := daysSinceEpoch(year, month, day)*86400 + int64(hour*3600+(minute-offset)*60+second)
	if secs < minSecond || secs > maxSecond {
		return 0, false
	}
	return secs*1000 + int64(milli), true
}

// Years 0000 to 9999, what RFC 3339 can write.
const (
	minSecond = -62167219200
	maxSecond = 253402300799
)

// digits returns the number that s is, or -1.
func digits[T string | []byte](s T) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSinceEpoch counts the days from 1970-01-01 in the Gregorian calendar,
// years starting in March so that the leap day comes last.
func daysSinceEpoch(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	century := floorDiv(year, 100)
	return int64(365*year+floorDiv(year, 4)-century+floorDiv(century, 4)+(153*(month-3)+2)/5+day-1) - 719468
}

func floorDiv(a, b int) int {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

// appendTime appends the form that CloudTrail uses: RFC 3339, seconds, Z.
// Milliseconds are lost: such a time is kept in Rest.
func appendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05Z")
}

// plainTime reports whether appendTime gives back this text for this time.
func plainTime[T string | []byte](s T, ms int64) bool {
	return len(s) == 20 && s[10] == 'T' && s[19] == 'Z' && ms%1000 == 0
}
