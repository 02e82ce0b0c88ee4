package policy

import "time"

// Schedule is a time of the week. From and To are minutes of the day; where From is not below To, it lasts to To of the next day.
type Schedule struct {
	Days     uint8 // bit 0: Sunday; the day on which it begins
	From, To int   // minutes of the day, 0 to 1439 and 0 to 1440
	Zone     *time.Location
}

// holds reports whether t is in the schedule.
func (s *Schedule) holds(t time.Time) bool {
	t = t.In(s.Zone)
	minute, day := t.Hour()*60+t.Minute(), int(t.Weekday())
	if s.From < s.To {
		return s.Days&(1<<day) != 0 && minute >= s.From && minute < s.To
	}
	if minute >= s.From {
		return s.Days&(1<<day) != 0
	}
	return minute < s.To && s.Days&(1<<((day+6)%7)) != 0
}
