package policy

import (
	"testing"
	"time"
)

func TestScheduleHolds(t *testing.T) {
	sunday := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for i, tt := range []struct {
		s    Schedule
		at   string // days after Sunday, hours, minutes
		want bool
	}{
		{Schedule{Days: 1, From: 0, To: 1440}, "0 00:00", true},
		{Schedule{Days: 1, From: 0, To: 1440}, "0 23:59", true},
		{Schedule{Days: 1, From: 0, To: 1440}, "1 00:00", false},
		{Schedule{Days: 1, From: 600, To: 660}, "0 10:59", true},
		{Schedule{Days: 1, From: 600, To: 660}, "0 11:00", false},
		{Schedule{Days: 1, From: 600, To: 660}, "0 09:59", false},
		{Schedule{Days: 1, From: 1320, To: 360}, "0 22:00", true},
		{Schedule{Days: 1, From: 1320, To: 360}, "1 05:59", true},
		{Schedule{Days: 1, From: 1320, To: 360}, "1 06:00", false},
		{Schedule{Days: 1, From: 1320, To: 360}, "0 05:00", false},
		{Schedule{Days: 1, From: 1320, To: 0}, "0 23:59", true}, // to midnight
		{Schedule{Days: 1, From: 1320, To: 0}, "1 00:00", false},
		{Schedule{Days: 1, From: 0, To: 0}, "0 12:00", true}, // all day
		{Schedule{Days: 1, From: 0, To: 0}, "1 00:00", false},
		{Schedule{Days: 1, From: 480, To: 480}, "1 07:59", true}, // to the same time of the next day
		{Schedule{Days: 1, From: 480, To: 480}, "1 08:00", false},
	} {
		tt.s.Zone = time.UTC
		clock, err := time.Parse("15:04", tt.at[2:])
		if err != nil {
			t.Fatal(err)
		}
		at := sunday.AddDate(0, 0, int(tt.at[0]-'0')).Add(time.Duration(clock.Hour())*time.Hour + time.Duration(clock.Minute())*time.Minute)
		if got := tt.s.holds(at); got != tt.want {
			t.Errorf("%d: %+v at %s: %t", i, tt.s, tt.at, got)
		}
	}
}
