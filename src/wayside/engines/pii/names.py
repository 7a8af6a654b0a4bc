"""Word lists of the lexical recogniser, written for this project: common, not complete.

Given names that are also everyday words or places (Will, Mark, Rose, Paris, Jordan) are left out.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a list, whatever its lines."""
    return frozenset(text.split())


GIVEN = words(
    """
    Aaron Abdul Abdullah Abigail Ada Adam Adela Adele Adrian Adriana Agata Agnes Agnieszka Ahmad
    Ahmed Aisha Akira Aksel Alan Alba Albert Alberto Aleksander Aleksandra Alejandra Alejandro
    Alessandra Alessandro Alex Alexander Alexandra Alexandre Alexandru Alexei Alexey Alexis
    Alfredo Ali Alice Alicia Alina Alison Allison Amanda Amelia Amelie Amina Amir Amit Amy Ana
    Anastasia Anders Andrea Andreas Andrei Andrej Andrés Andrew Andrey Andrzej Angela Angelo
    Angelika Anita Anja Anjali Anke Anna Anne Annika Anouk Anthony Antoine Anton Antonella
    Antonio António Arash Ariana Arjun Arnaud Arthur Arturo Astrid Audrey Aurélie Ayşe Ayumi
    Barbara Bartosz Beate Beatrice Beatriz Benjamin Benoît Bernadette Bernard Bernd Bernhard
    Beth Bianca Birgit Björn Bjørn Boris Bożena Brandon Brenda Brian Brigitte Bruno Bryan Camila
    Camille Candice Carla Carlo Carlos Carmen Carol Carolina Caroline Cassandra Catarina
    Caterina Catherine Cátia Cecilia Cécile Céline Chandra Charles Charlotte Chiara Chidi Chloe
    Chloé Christian Christina Christine Christoph Christophe Christopher Ciara Cindy Claire
    Clara Claudia Claudio Clément Colin Connor Cristian Cristina Daan Damian Damien Dániel
    Daniel Daniela Danielle Daniele Danuta Darius David Deborah Deepak Deirdre Denis Dennis
    Derek Diana Diego Dieter Dietmar Dimitri Dimitrios Dirk Dmitri Dmitry Dominic Dominik
    Dominique Donald Donna Dorota Dorothy Douglas Duncan Dylan Eduardo Edward Eileen Ekaterina
    Elena Eleni Eleonora Elif Elin Elisa Elisabeth Elise Elizabeth Ella Ellen Elodie Elżbieta
    Emanuele Emilia Emilie Emily Emine Emma Emmanuel Enrico Enrique Eric Erica Erik Erika
    Ernesto Esther Ethan Eugene Eva Evelyn Ewa Fabian Fabio Fabrice Farid Fatima Fatma Federica
    Federico Felix Fernanda Fernando Fiona Florence Florian Francesca Francesco Francis
    Francisco François Françoise Frank Franziska Frédéric Frederik Freja Friedrich Fumiko
    Gabriel Gabriela Gabriele Gabriella Gareth Gary Geoffrey George Georgia Georgios Gerald
    Gerard Gerhard Gianluca Gianni Gina Giorgia Giorgio Giovanna Giovanni Giulia Giuseppe Gloria
    Gonzalo Graham Gregor Gregory Greta Grzegorz Guillaume Guillermo Gunnar Günter Günther
    Gustavo Haakon Hamza Hana Hannah Hannes Hans Harold Haruka Haruto Hasan Hassan Heather
    Hector Heidi Heike Heiko Heinrich Heinz Helen Helena Helga Hélène Helmut Henrik Henry
    Herbert Hiroshi Holger Huda Hugo Hussein Ian Ibrahim Ida Ignacio Igor Ilaria Ilya Imran Inês
    Ines Inga Inge Ingrid Ioana Irena Irene Irina Isaac Isabel Isabella Isabelle Ivan Ivana
    Iwona Jack Jacek Jacob Jacqueline Jacques Jaime Jakob Jakub James Jamie Jan Jana Jane Janet
    Janina Janusz Jasmine Jason Javier Jean Jeffrey Jennifer Jenny Jens Jeremy Jerzy Jessica
    Jesús Joachim Joan Joana Joanna João Joaquín Joel Johan Johanna Johannes John Johnny Jolanta
    Jonas Jonathan Jörg Jorge José Josef Joseph Josephine Joshua Juan Juana Judith Julia Julian
    Juliana Julie Julien Juliette Jun Jürgen Justin Justyna Kai Kamil Kamila Karen Karin Karina
    Karl Karolina Karsten Katarzyna Kate Katharina Katherine Kathleen Kathryn Katja Katrin Kayla
    Keith Keiko Kelly Kenji Kenneth Kenta Kevin Khadija Khaled Kim Kirsten Klaus Koen Konstantin
    Krzysztof Kurt Kwame Lars Laura Lauren Laurent Layla Lea Léa Leah Leila Lena Leon Leonardo
    Leticia Lidia Liam Lieke Lilian Lina Linda Lisa Liv Lorenzo Lotte Louis Louise Luca Lucas
    Lucia Lucía Lucie Ludovic Luigi Luis Luís Luisa Luka Lukas Łukasz Lydia Lynn Maarten Maciej
    Madeleine Magda Magdalena Magnus Mahmoud Maja Małgorzata Manuel Manuela Marc Marcel Marcela
    Marcelo Marcin Marco Marcos Marcus Marek Margaret Margarita Maria María Mariam Mariana Marie
    Marija Marina Mario Mariusz Marjan Markus Marlene Marta Martha Martin Martina Martín Mary
    Maryam Masahiro Mateo Mateusz Mathias Mathieu Mathilde Matteo Matthew Matthias Maurice
    Mauricio Max Maxime Maximilian Mehmet Mei Melanie Melissa Mercedes Mia Michael Michaela
    Michał Michel Michela Michele Michelle Miguel Mihai Mikael Mikhail Milan Milena Miriam
    Mirjam Mohamed Mohammad Mohammed Monica Monika Monique Morten Moritz Muhammad Murat Mustafa
    Nadia Nadine Naoko Naoki Naomi Natalia Natalie Natasha Nathalie Nathan Neha Neil Niamh
    Nicholas Nicola Nicolas Nicole Niels Nikita Niklas Nikolai Nikolaus Nils Nina Noah Noémie
    Nora Norbert Nuno Nuria Olaf Ole Oleg Olena Olga Oliver Olivia Olivier Omar Orla Oscar Oskar
    Owen Pablo Pamela Paola Paolo Pascal Patricia Patrícia Patricio Patrick Patryk Paul Paula
    Paulina Pauline Paulo Pavel Pawel Paweł Pedro Peter Petra Philip Philipp Philippe Phillip
    Pierre Pietro Pilar Piotr Priya Rachel Radek Rafael Rafał Rahul Raj Rajesh Ralf Ramón
    Raphael Raquel Rasmus Raúl Ravi Raymond Rebecca Regina Reinhard Renata Renate René Ricardo
    Riccardo Richard Rita Robert Roberta Roberto Rocío Rodrigo Roger Roland Roman Ronald Rosa
    Rosario Roxana Rubén Rüdiger Rui Ruth Ryan Sabine Sabrina Said Sakura Salma Salvatore Sam
    Samantha Samir Samira Samuel Sandeep Sandra Sanjay Santiago Sara Sarah Satoshi Scott Sean
    Sebastian Sébastien Selin Serena Sergei Sergey Sergio Shannon Sharon Shreya Sigrid Silke
    Silvia Simon Simona Simone Siobhan Sofia Sofía Sofie Sonia Sonja Sophia Sophie Stanisław
    Stefan Stefania Stefanie Stefano Steffen Stella Stephan Stéphane Stephanie Stephen Steven
    Stuart Sunita Susan Susana Susanne Svetlana Sven Sylvia Sylvie Takashi Takeshi Tamara Tanja
    Tatiana Tatjana Terence Teresa Theo Theresa Thérèse Theodor Theodore Thiago Thierry Thomas
    Thorsten Tiago Tiffany Tim Timothy Tina Tobias Tom Tomás Tomasz Tomoko Torsten Tracy Tyler
    Udo Ulrich Ulrike Ursula Uwe Valentina Valeria Valérie Vanessa Vera Verónica Veronica
    Véronique Vicente Victor Victoria Vijay Viktor Vincent Vincenzo Viola Virginie Vladimir
    Volker Walter Wanda Werner Wiebke Wiktoria Wilhelm William Willem Wojciech Wolfgang Xavier
    Yan Yannick Yasmin Yolanda Yuki Yuri Yusuf Yves Yvonne Zainab Zofia Zoe Zoë
    """
)

COUNTRIES = words(
    """
    Afghanistan Albania Algeria Argentina Armenia Australia Austria Azerbaijan Bangladesh
    Belarus Belgium Bolivia Brazil Bulgaria Cambodia Cameroon Canada Chile China Colombia
    Croatia Cuba Cyprus Denmark Ecuador Egypt England Estonia Ethiopia Finland France Germany
    Ghana Greece Guatemala Haiti Honduras Hungary Iceland India Indonesia Iran Iraq Ireland
    Israel Italy Jamaica Japan Kazakhstan Kenya Kuwait Laos Latvia Lebanon Libya Lithuania
    Luxembourg Madagascar Malaysia Mali Malta Mexico Moldova Mongolia Morocco Mozambique Myanmar
    Namibia Nepal Netherlands Nicaragua Niger Nigeria Norway Oman Pakistan Panama Paraguay Peru
    Philippines Poland Portugal Qatar Romania Russia Rwanda Scotland Senegal Serbia Singapore
    Slovakia Slovenia Somalia Spain Sudan Sweden Switzerland Syria Taiwan Tanzania Thailand
    Tunisia Uganda Ukraine Uruguay USA UK Venezuela Vietnam Wales Yemen Zambia Zimbabwe
    Deutschland Österreich Schweiz Frankreich Italien Spanien España Italia Brasil México Polska
    Nederland Amsterdam Ankara Athens Atlanta Auckland Austin Baghdad Bangkok Barcelona Beijing
    Belgrade Berlin Bogotá Boston Bratislava Brisbane Brussels Bucharest Budapest Cairo Calgary
    Chennai Chicago Cologne Copenhagen Dallas Delhi Denver Detroit Dubai Dublin Düsseldorf
    Edinburgh Frankfurt Geneva Glasgow Gothenburg Hamburg Hanoi Helsinki Houston Istanbul
    Jakarta Johannesburg Karachi Köln Kraków Kyiv Kyoto Lagos Lahore Leipzig Lima Lisbon Lisboa
    Liverpool Ljubljana London Lyon Madrid Manchester Manila Marseille Melbourne Miami Milan
    Milano Minneapolis Montreal Moscow Mumbai Munich München Nairobi Naples Oslo Ottawa Paris
    Philadelphia Prague Riga Riyadh Roma Rome Rotterdam Santiago Sarajevo Seattle Seoul Shanghai
    Shenzhen Sofia Stockholm Stuttgart Sydney Tallinn Tehran Tokyo Toronto Toulouse Turin
    Valencia Vancouver Venice Vienna Vilnius Warsaw Warszawa Washington Wien Wellington Zagreb
    Zürich Zurich
    """
)

NATIONS = words(
    """
    American Argentinian Argentine Australian Austrian Belgian Brazilian British Bulgarian
    Canadian Chilean Chinese Colombian Croatian Cuban Czech Danish Dutch Egyptian English
    Estonian Ethiopian Finnish French German Ghanaian Greek Hungarian Icelandic Indian
    Indonesian Iranian Iraqi Irish Israeli Italian Jamaican Japanese Kenyan Korean Latvian
    Lebanese Lithuanian Malaysian Mexican Moroccan Nigerian Norwegian Pakistani Palestinian
    Peruvian Polish Portuguese Romanian Russian Saudi Scottish Serbian Slovak Slovenian Somali
    Spanish Sudanese Swedish Swiss Syrian Thai Tunisian Turkish Ukrainian Venezuelan Vietnamese
    Welsh Ecuadorean Cambodian Surinamese Belizean Bruneian Chechen Kurdish African European
    Asian Arab Hispanic Latino Christian Christians Catholic Protestant Orthodox Muslim Muslims
    Jewish Jews Buddhist Buddhists Hindu Hindus Sikh Sikhs Mormon Sunni Shia Atheist Republican
    Republicans Democrat Democrats Communist Conservative Socialist Americans Germans Italians
    Russians Mexicans
    """
)
