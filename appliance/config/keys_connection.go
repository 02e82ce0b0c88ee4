package config

// Keys of [connection] that one upstream may overrule with a key of the same name.
var paddingKey = integerKey("connection.padding", 0, 512, 128, func(c *Checked) *int { return &c.Connection.Padding }).reload()
