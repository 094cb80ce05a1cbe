// Parameters and momentum before the step: copies of what will be written.
#input old_param 6 vec4<f32>
#input old_momentum 7 vec4<f32>
